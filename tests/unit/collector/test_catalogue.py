import pytest

from collector.catalogue import CATALOGUE, STATISTICS
from collector.families import NameSet
from collector.records import Group
from tests.unit.collector import dashboards
from tests.unit.collector.readings import odd_host, series_of, text_of

BASE = {family.name: family for family in CATALOGUE if family.names is NameSet.INOVEX}


def exported(*names):
    """Labels with a value, by name of metric, over all series of a scrape with everything."""
    found = {}
    for name, labels in series_of(text_of(odd_host(), *names)):
        found.setdefault(name, set()).update(label for label, value in labels if value)
    return found


def test_names_follow_the_conventions():
    names = [family.name for family in CATALOGUE]
    assert len(names) == len(set(names))
    for family in CATALOGUE:
        assert family.name.endswith("_total") == (family.kind == "counter"), family.name
        assert family.name.endswith("_info") == (family.kind == "info"), family.name
        assert family.help.endswith("."), family.name
        assert family.help.isascii()
        assert len(set(family.labels)) == len(family.labels)
        assert not set(family.labels) & {"job", "instance", "host"}


def test_openmetrics_names_of_families_do_not_clash():
    """A family may not be called what a sample of another one is called."""
    samples = {family.name for family in CATALOGUE}
    families = [family.family_name for family in CATALOGUE]
    assert len(families) == len(set(families))
    for family in CATALOGUE:
        if family.family_name != family.name:
            assert family.family_name not in samples, family.name


def test_every_group_but_those_of_the_host_has_families():
    part_of_others = {Group.BLOCK_TRAFFIC}
    assert {family.group for family in CATALOGUE} == {*Group, None} - part_of_others


def test_a_statistic_of_a_number_has_a_label_for_it():
    for one in STATISTICS:
        assert ("*" in one.key) == (len(one.family.labels) == 2), one.family.name


def test_the_base_is_there_whatever_is_asked_for():
    base, more = exported(), exported(NameSet.TINKOFF)
    assert base.keys() < more.keys()
    assert all(labels <= more[name] for name, labels in base.items())


def test_a_full_host_shows_every_family_but_rare_events():
    """So that the golden files and what is compared here leave nothing out."""
    rare = {name for name in BASE if name.startswith("libvirt_domain_perf_")}
    rare |= {
        f"libvirt_domain_job_info_{name}"
        for name in (
            "disk_temporary_used_bytes",
            "disk_temporary_total_bytes",
        )
    }
    assert BASE.keys() - rare <= exported().keys()


@pytest.mark.parametrize("name", dashboards.INOVEX_OPENSTACK)
def test_what_inovex_dashboard_asks_for_is_there(name):
    labels = exported()[name]
    assert dashboards.INOVEX_LABELS.get(name, {"domain"}) <= labels


@pytest.mark.parametrize("name", dashboards.INOVEX_EXPORTER)
def test_what_inovex_exports_is_in_the_catalogue(name):
    assert dashboards.INOVEX_EXPORTER[name] <= set(BASE[name].labels)


@pytest.mark.parametrize(
    ("compat", "expected"),
    [
        (NameSet.KUMINA, dashboards.STACKHPC),
        (NameSet.TINKOFF, dashboards.TINKOFF),
        (NameSet.KUMINA, dashboards.KUMINA),
    ],
)
def test_what_other_exporters_have_is_there_with_its_labels(compat, expected):
    found = {name: labels for name, labels in exported(compat).items() if name in expected}
    assert found.keys() == expected.keys()
    for name, labels in expected.items():
        assert labels <= found[name], name


def test_labels_of_a_metric_are_the_same_on_all_its_series():
    for names in ((), (NameSet.TINKOFF,), (NameSet.KUMINA,), tuple(NameSet)):
        found = {}
        for name, labels in series_of(text_of(odd_host(), *names)):
            found.setdefault(name, set()).add(tuple(sorted(label for label, _ in labels)))
        assert all(len(sets) == 1 for sets in found.values())


def test_labels_of_kumina_lead_to_the_device():
    found = series_of(text_of(odd_host(), NameSet.KUMINA))
    (block,) = (
        dict(labels)
        for name, labels in found
        if name == "libvirt_domain_block_stats_read_bytes_total"
        and ("domain", "full") in labels
        and ("target_device", "sdb") in labels
    )
    assert block["source_file"] == "somepool/volume-5f1a922c"
    assert block["uuid"] == "uuid-of-full"
    (interface,) = (
        dict(labels)
        for name, labels in found
        if name == "libvirt_domain_interface_stats_receive_bytes_total"
    )
    assert interface["source_bridge"] == "br-int"
