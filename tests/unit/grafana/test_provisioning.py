"""What is mounted into Grafana fits together, and with the dashboards."""

import re
from pathlib import Path

import pytest
import yaml

from grafana.written import FOLDER

PROVISIONING = FOLDER.parent / "provisioning"
FILES = sorted(PROVISIONING.rglob("*.yaml"))
OPERATIONS = Path(__file__).resolve().parents[3] / "docs/OPERATIONS.md"


def document(name):
    return yaml.safe_load((PROVISIONING / name / "virtscale.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_every_file_is_where_grafana_looks_and_of_its_version(path):
    assert path.parent.name in ("datasources", "dashboards")
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["apiVersion"] == 1


def test_the_data_sources_are_two_and_know_each_other():
    prometheus, alertmanager = document("datasources")["datasources"]
    assert prometheus["type"] == "prometheus"
    assert prometheus["isDefault"] is True
    assert prometheus["jsonData"]["alertmanagerUid"] == alertmanager["uid"]
    assert (alertmanager["type"], alertmanager["jsonData"]["implementation"]) == (
        "alertmanager",
        "prometheus",
    )


def test_addresses_come_from_the_environment_and_are_told():
    used = set()
    for source in document("datasources")["datasources"]:
        (name,) = re.fullmatch(r"\$\{(\w+)\}", source["url"]).groups()
        used.add(name)
    assert len(used) == 2
    told = OPERATIONS.read_text(encoding="utf-8")
    assert not {name for name in used if name not in told}


def test_the_interval_is_that_of_the_prometheus_that_comes_with_it():
    settings = yaml.safe_load((FOLDER.parents[1] / "prometheus/prometheus.yml").read_text())
    (source, _) = document("datasources")["datasources"]
    assert source["jsonData"]["timeInterval"] == settings["global"]["scrape_interval"]


def test_dashboards_are_read_from_where_they_are_mounted():
    (provider,) = document("dashboards")["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    assert provider["options"]["path"] in OPERATIONS.read_text(encoding="utf-8")
