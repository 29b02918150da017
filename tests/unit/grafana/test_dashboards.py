"""The dashboards' JSON is what the code makes, and says all that a reader needs."""

import json
import re
from pathlib import Path

import pytest

from grafana.generate import FOLDER, documents

METRICS = (FOLDER.parent / "docs/METRICS.md").read_text(encoding="utf-8")
WRITTEN = sorted(documents().items())
GIVEN_BY_GRAFANA = {"__rate_interval", "__field", "__url_time_range"}


def panels(text):
    return [panel for panel in json.loads(text)["panels"] if panel["type"] != "row"]


def queries(text):
    return [target["expr"] for panel in panels(text) for target in panel["targets"]]


@pytest.mark.parametrize(("name", "text"), WRITTEN)
def test_the_files_are_those_that_the_code_writes(name, text):
    assert (FOLDER / name).read_text(encoding="utf-8") == text, "run grafana/generate.py"


def test_no_other_file_lies_about():
    assert {path.name for path in FOLDER.glob("*.json")} == {name for name, _ in WRITTEN}


@pytest.mark.parametrize(("name", "text"), WRITTEN)
def test_every_metric_exists(name, text):
    used = set()
    variables = [one.get("query", "") for one in json.loads(text)["templating"]["list"]]
    for query in (*queries(text), *variables):
        used |= set(re.findall(r"\b(?:libvirt|virtscale)_\w+", query))
    assert len(used) > 15
    assert not {metric for metric in used if f"| `{metric}` |" not in METRICS}


@pytest.mark.parametrize(("name", "text"), WRITTEN)
def test_every_panel_has_description_unit_and_a_text_for_no_data(name, text):
    for panel in panels(text):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["noValue"]
        if panel["type"] != "state-timeline":
            assert defaults["unit"], panel["title"]
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names) > 0
        assert all(target["legendFormat"] for target in panel["targets"])


@pytest.mark.parametrize(("name", "text"), WRITTEN)
def test_panels_do_not_overlap(name, text):
    taken = set()
    for panel in json.loads(text)["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + across, place["y"] + down)
            for across in range(place["w"])
            for down in range(place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize(("name", "text"), WRITTEN)
def test_every_variable_that_is_used_is_asked_for(name, text):
    asked = {one["name"] for one in json.loads(text)["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", " ".join(queries(text))))
    assert used - GIVEN_BY_GRAFANA == asked - {"datasource"}


def test_the_dashboards_lead_to_each_other():
    boards = {json.loads(text)["uid"]: json.loads(text) for _, text in WRITTEN}
    for board in boards.values():
        (link,) = board["links"]
        assert set(link["tags"]) <= set(board["tags"])
        assert link["includeVars"]
        assert link["keepTime"]
    targets = set(re.findall(r"/d/([\w-]+)", json.dumps(list(boards.values()))))
    assert targets
    assert targets <= boards.keys()


def test_the_folder_is_found_from_anywhere():
    assert (Path(FOLDER) / "generate.py").is_file()
