"""Whole readings of a host, and what came out of rendering one, for several tests."""

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as text_families

from collector.domain_xml import describe
from collector.exposition import Facts, Format, Renderer
from collector.records import (
    CellRecord,
    Control,
    DomainRecord,
    HostReading,
    NodeRecord,
    Part,
    StoragePoolRecord,
    Versions,
)
from tests.unit.collector import records

FACTS = Facts(duration_seconds=0.5, reconnects=2)
OURS = describe(records.XML)
NOVA = describe(records.XML_OF_NOVA)
NODE = NodeRecord(
    cpus=8,
    cpu_mhz=2600,
    model="x86_64",
    cpu_seconds={"user": 12.5, "kernel": 3.0, "idle": 1000.0, "iowait": 0.25, "utilization": 3.0},
    memory_bytes={"total": 2.0**34, "free": 2.0**33, "buffers": 2.0**20, "cached": 2.0**30},
    cells=(CellRecord(0, 2.0**34, 2.0**33), CellRecord(1, None, 2.0**32)),
)
STORAGE_POOLS = (
    StoragePoolRecord("images", 2, 2.0**40, 2.0**39, 2.0**39),
    StoragePoolRecord("broken", None, is_timed_out=True),
)


def domain(name, statistics, *, number=1, description=None, **more):
    """A record with a UUID that tells its name."""
    return DomainRecord(name, f"uuid-of-{name}", number, statistics, description, **more)


def reading(*domains, **more):
    """A reading of nothing but domains."""
    return HostReading(domains, {"stats": Part(0.25, True)}, **more)


def odd_host():
    """Everything at once: the recorded domains, and all that belongs to a host."""
    return HostReading(
        (
            domain("paused", records.PAUSED, description=OURS),
            domain("running", records.RUNNING, description=OURS),
            domain("inactive", records.INACTIVE, number=-1),
            domain("frozen", records.FROZEN, is_timed_out=True, control=Control(2, 12.3456)),
            domain("state-only", records.STATE_ONLY),
            domain("unplugged", records.UNPLUGGED),
            domain("backing", records.BACKING),
            domain("saving", records.PAUSED, job=records.JOB),
            domain("migrating", records.RUNNING, job=records.MIGRATION),
            domain(
                "full",
                {**records.FULL, **records.OPTIONAL},
                description=NOVA,
                io_limits={"vda": records.LIMITS},
            ),
        ),
        {"stats": Part(0.25, True), "info": Part(0.125, True), "pool": Part(2.0, False)},
        Versions("7.2.22", "9.0.0", "9.0.0"),
        NODE,
        STORAGE_POOLS,
    )


def text_of(host, *names, form=Format.TEXT, groups=None, renderer=None):
    """What a scrape answers."""
    renderer = renderer or Renderer(frozenset(names))
    return renderer.render(host, FACTS, form, groups).decode()


def families_of(text, form=Format.TEXT):
    """What the client library's parser reads."""
    if form is Format.OPENMETRICS:
        return list(openmetrics_families(text + "# EOF\n"))
    return list(text_families(text))


def series_of(text, form=Format.TEXT):
    """Values by name and labels; fails when a series is there twice."""
    found = {}
    for family in families_of(text, form):
        for one in family.samples:
            key = (one.name, tuple(sorted(one.labels.items())))
            assert key not in found, f"{key} appears twice"
            found[key] = float(one.value)
    return found


def values_of(statistics, *names, name="d", **more):
    """Values of one domain's series by name and all labels but `domain`."""
    host = reading(domain(name, statistics, **more))
    found = {}
    for (metric, labels), value in series_of(text_of(host, *names)).items():
        if dict(labels).get("domain") == name:
            rest = tuple(value for label, value in labels if label != "domain")
            found[(metric, *rest)] = value
    return found
