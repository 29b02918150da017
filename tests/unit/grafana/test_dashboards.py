"""The dashboards' JSON is what the code makes, and says all that a reader needs."""

import json
import re
from pathlib import Path

import promql_parser
import pytest

from grafana import fleet, pool_queries
from grafana.annotations import CAUSES
from grafana.boards import UIDS
from grafana.filling import Window, filled
from grafana.generate import documents
from grafana.written import FOLDER, board
from scaler.pool import SERVING, DomainState
from scaler.reasons import Reason

METRICS = (Path(__file__).resolve().parents[3] / "docs/METRICS.md").read_text(encoding="utf-8")
WRITTEN = sorted(documents().items())
POOL_BOARDS = ("dispatcher.json", "elasticity.json", "fleet.json")
GIVEN_BY_GRAFANA = {
    *("__rate_interval", "__range", "__interval", "__interval_ms"),
    *("__field", "__url_time_range"),
}


def panels(text):
    return [panel for panel in json.loads(text)["panels"] if panel["type"] != "row"]


def queries(text):
    return [target["expr"] for panel in panels(text) for target in panel["targets"]]


@pytest.mark.parametrize(("name", "text"), WRITTEN)
def test_the_files_are_those_that_the_code_writes(name, text):
    assert (FOLDER / name).read_text(encoding="utf-8") == text, "run grafana/generate.py"


def test_no_other_file_lies_about():
    assert {path.name for path in FOLDER.glob("*.json")} == {name for name, _ in WRITTEN}


def metrics(expression):
    """Names of what a PromQL expression asks for."""
    if isinstance(expression, promql_parser.VectorSelector):
        return {expression.name}
    parts = [getattr(expression, name) for name in dir(expression) if not name.startswith("_")]
    parts += [one for part in parts if isinstance(part, list) for one in part]
    inner = [metrics(part) for part in parts if isinstance(part, promql_parser.Expr)]
    return set().union(*inner)


def is_exported(metric):
    # Prometheus makes ALERTS of its own rules.
    if f"| `{metric}` |" in METRICS or metric == "ALERTS":
        return True
    histogram = re.fullmatch(r"(.+)_(?:bucket|sum|count)", metric)
    return histogram is not None and f"| `{histogram[1]}` | histogram |" in METRICS


def test_names_are_read_from_the_query_and_not_from_its_text():
    query = (
        'max(a{b="c"} @ end()) - on (d) rate(e_f[5m]) > bool avg_over_time(g:h:i[1h:5s] offset 5m)'
    )
    assert metrics(promql_parser.parse(query)) == {"a", "e_f", "g:h:i"}
    assert is_exported("virtscale_dispatcher_job_wait_seconds_bucket")
    assert not is_exported("virtscale_dispatcher_jobs_bucket")
    assert not is_exported("virtscale_scaler_desired")


@pytest.mark.parametrize(("name", "text"), WRITTEN)
def test_every_query_is_valid_and_every_metric_exported(name, text):
    shown = board(text)
    chosen = {one.name: "x" for one in shown.choices} | shown.texts
    asked = [one.expr for panel in shown.panels for one in panel.targets]
    asked += [one.selector for one in shown.choices] + [one.expr for one in shown.marks]
    window = Window(0, 3600, 15)
    used = set().union(
        *(metrics(promql_parser.parse(filled(one, window, chosen))) for one in asked)
    )
    assert len(used) > 10
    assert not {metric for metric in used if not is_exported(metric)}


@pytest.mark.parametrize(("name", "text"), WRITTEN)
def test_every_panel_has_description_unit_and_a_text_for_no_data(name, text):
    for panel in panels(text):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["noValue"]
        if panel["type"] == "heatmap":
            assert panel["options"]["yAxis"]["unit"]
        elif panel["type"] != "state-timeline":
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
    marks = [one.expr for one in board(text).marks]
    used = set(re.findall(r"\$\{?(\w+)", " ".join([*queries(text), *marks])))
    assert used - GIVEN_BY_GRAFANA == asked - {"datasource"}


def test_the_dashboards_lead_to_each_other():
    boards = {json.loads(text)["uid"]: json.loads(text) for _, text in WRITTEN}
    assert set(boards) == set(UIDS)
    tags = [one["tags"] for one in boards.values()]
    for one in boards.values():
        assert [link["tags"] for link in one["links"]] == [["virtscale"], ["libvirt"]]
        for link in one["links"]:
            assert link["tags"] in tags
            assert link["includeVars"]
            assert link["keepTime"]
    targets = set(re.findall(r"/d/([\w-]+)", json.dumps(list(boards.values()))))
    assert targets
    assert targets <= boards.keys()


@pytest.mark.parametrize(("name", "text"), WRITTEN)
def test_series_keep_the_labels_that_their_links_need(name, text):
    for panel in panels(text):
        if panel["fieldConfig"]["defaults"].get("links"):
            (address,) = {link["url"] for link in panel["fieldConfig"]["defaults"]["links"]}
            needed = set(re.findall(r"\{__field\.labels\.(\w+)\}", address))
            assert needed == {"job", "instance", "domain"}
            expr = panel["targets"][0]["expr"]
            for kept in re.findall(r"by \(([\w, ]+)\)", expr):
                assert needed <= set(kept.split(", ")), panel["title"]


@pytest.mark.parametrize(("name", "text"), WRITTEN)
def test_panels_have_numbers_of_their_own(name, text):
    numbers = [panel["id"] for panel in panels(text)]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize(("name", "text"), WRITTEN)
def test_a_look_is_for_a_series_that_there_is(name, text):
    for panel in board(text).panels:
        legends = [target.legend for target in panel.targets]
        by_label = any("{{" in legend for legend in legends)
        assert by_label or set(panel.looks) <= set(legends), panel.title
        for look_name, look in panel.looks.items():
            assert look.colour or look.is_dashed or look.is_below, look_name


def test_no_panel_draws_a_line_for_every_domain_of_a_large_pool():
    """What has a line by domain or worker takes the ten largest of the whole range."""
    unbounded = re.compile(r"{{(?:domain|worker|instance)}}")
    # A migration or backup of every domain at once is none of ours to provide for.
    few = ("Jobs under way",)
    for name in (*POOL_BOARDS, "host.json"):
        for panel in board(dict(WRITTEN)[name]).panels:
            for target in panel.targets:
                if unbounded.search(target.legend) and panel.title not in few:
                    assert "topk(10, " in target.expr, panel.title
                    assert "@ end()" in target.expr, panel.title


def test_every_state_of_a_domain_is_in_one_group():
    groups = (pool_queries.CAPACITY, pool_queries.STANDBY, pool_queries.LEAVING)
    groups += (pool_queries.ASTRAY, "off|quarantined_off")
    states = [state for group in groups for state in group.split("|")]
    assert sorted(states) == sorted(DomainState)
    assert set(pool_queries.CAPACITY.split("|")) == SERVING
    assert set(fleet.STATE_COLOURS) <= set(DomainState)


def test_the_causes_that_marks_tell_are_reasons():
    assert set(CAUSES) <= set(Reason)


@pytest.mark.parametrize("name", POOL_BOARDS)
def test_marks_name_only_labels_that_their_queries_keep(name):
    marks = board(dict(WRITTEN)[name]).marks
    assert marks
    for mark in marks:
        kept = set(re.search(r"by \(([\w, ]+)\)", mark.expr)[1].split(", "))
        assert mark.labels <= kept | {"reason"}, mark.name
