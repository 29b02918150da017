"""The dashboards' queries on a real Prometheus: figures worked out by hand, marks, no data."""

import io
import shutil

import pytest
from PIL import Image

from grafana import check, render
from grafana.filling import Window, filled
from grafana.prometheus_api import Prometheus
from grafana.written import boards
from tests.contract.recorded_prometheus import START, RecordedPrometheus

MISSING = [one for one in ("prometheus", "promtool") if shutil.which(one) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.timeout(120),
]
LENGTH = 240
WINDOW = Window(START + 60, START + LENGTH, 5)
"""What is shown: the last three minutes, so that no window of a rate reaches before the record."""
SCALER, DISPATCHER = 'pool="p",job="scaler",instance="s:1"', 'job="dispatcher",instance="d:1"'
CPU = "pool_domain:libvirt_domain_cpu_utilisation:avg30s"


def growing(step: float) -> list[float]:
    return [step * second for second in range(LENGTH + 1)]


def steady(value: float) -> list[float]:
    return [value] * (LENGTH + 1)


def changing(*values: tuple[int, float]) -> list[float]:
    """(from which second, value), in order."""
    return [
        next(value for since, value in reversed(values) if since <= second)
        for second in range(LENGTH + 1)
    ]


def run() -> dict[str, list[float]]:
    """A pool with two jobs of a second's work a second; a second domain from 120 s to 180 s."""
    domains = f"virtscale_scaler_domains{{{SCALER},state=%s}}"
    turns = f"virtscale_scaler_decisions_total{{{SCALER},reason=%s}}"
    service = "virtscale_dispatcher_job_service_seconds"
    series = {
        f"virtscale_scaler_paused{{{SCALER}}}": steady(0),
        f"virtscale_scaler_desired_domains{{{SCALER}}}": changing((0, 1), (115, 2), (180, 1)),
        domains % '"ready"': changing((0, 1), (120, 2), (180, 1)),
        domains % '"booting"': changing((0, 0), (115, 1), (120, 0)),
        domains % '"standby_paused"': steady(0),
        domains % '"off"': changing((0, 1), (115, 0), (180, 1)),
        turns % '"steady"': growing(1),
        turns % '"demand"': changing((0, 0), (115, 1)),
        turns % '"schedule"': changing((0, 0), (180, 1)),
        f"virtscale_dispatcher_jobs_accepted_total{{{DISPATCHER}}}": growing(2),
        f"{service}_sum{{{DISPATCHER}}}": growing(1),
        f"{service}_count{{{DISPATCHER}}}": growing(1),
        f'virtscale_worker_slots{{{DISPATCHER},worker="vs-1"}}': steady(1),
        f"pool:libvirt_domain_cpu_utilisation:avg30s{{{SCALER}}}": steady(55),
        f'virtscale_scaler_incidents_total{{{SCALER},incident="crashed"}}': [
            *([None] * 150),
            *([1.0] * (LENGTH - 149)),
        ],
    }
    for number in range(1000):
        labels = f'pool="p",job="collector",instance="c:1",domain="d{number}"'
        # Sampled now and then; the ten largest of every instant would be others at the next.
        busy = [
            (number + second) % 1000 / 1000 if second % 30 == 0 else None
            for second in range(LENGTH + 1)
        ]
        series[f"{CPU}{{{labels}}}"] = busy
    return series


@pytest.fixture(scope="module")
def recorded():
    prometheus = RecordedPrometheus(run())
    yield prometheus
    prometheus.close()


@pytest.fixture(scope="module")
def asked(recorded):
    client = Prometheus(recorded.url)
    yield client
    client.close()


@pytest.fixture(scope="module")
def nothing():
    prometheus = RecordedPrometheus({})
    yield prometheus
    prometheus.close()


def values(asked, name, title, legend):
    board = boards()[name]
    panel = next(one for one in board.panels if one.title == title)
    target = next(one for one in panel.targets if one.legend == legend)
    (series,) = asked.target(target, WINDOW, asked.chosen(board, WINDOW))
    return [value for _, value in series.points]


# Two seconds of work a second at a target of 0.8 need 2.5 slots: three domains of one slot.
@pytest.mark.parametrize(
    ("title", "legend", "expected"),
    [
        ("Needed", "domain-hours", 3 * 180 / 3600),
        # One domain for the whole time, another from 115 s to 180 s.
        ("Machine-hours", "machine-hours", (180 + 65) / 3600),
        ("Time with too few", "share", 1),
        ("Time with too many", "share", 0),
        ("Missing", "domains", 2 - 60 / 180),
        ("Surplus", "domains", 0),
        ("Jobs done", "jobs", 180),
    ],
)
def test_the_figures_of_elasticity_are_those_of_the_run(asked, title, legend, expected):
    (found,) = values(asked, "elasticity", title, legend)
    # A sum over steps has one step more than the range, at either end.
    assert found == pytest.approx(expected, abs=0.01, rel=0.04)


def test_demand_and_supply_follow_the_run(asked):
    assert set(values(asked, "elasticity", "Demand and supply", "demand")) == {3}
    supply = values(asked, "elasticity", "Demand and supply", "supply")
    assert supply == [1] * 12 + [2] * 12 + [1] * 13
    missing = values(asked, "elasticity", "Missing and surplus", "missing")
    assert missing == [3 - one for one in supply]


def events(asked, name):
    board = boards()["fleet"]
    mark = next(one for one in board.marks if one.name == name)
    found = asked.range(filled(mark.expr, WINDOW, asked.chosen(board, WINDOW)), WINDOW)
    return {mark.words(one.labels): [at - START for at, _ in one.points] for one in found}


def test_marks_say_when_and_why_the_wish_changed_and_nothing_else(asked):
    # The second time only up to Prometheus 2, whose windows hold the sample at their very begin.
    assert events(asked, "More wanted") in ({"more: demand": [115, 120]}, {"more: demand": [115]})
    assert events(asked, "Fewer wanted") in (
        {"fewer: schedule": [180, 185]},
        {"fewer: schedule": [180]},
    )


@pytest.mark.parametrize("step", [2, 20, 60])
def test_no_change_falls_between_two_steps(asked, step):
    window = Window(START + 60, START + LENGTH, step)
    board = boards()["fleet"]
    for name in ("More wanted", "Fewer wanted"):
        mark = next(one for one in board.marks if one.name == name)
        (series,) = asked.range(filled(mark.expr, window, asked.chosen(board, window)), window)
        assert series.points


def test_the_first_incident_of_a_kind_is_marked_too(asked):
    (name, (first, *_)) = events(asked, "Incidents").popitem()
    assert name == "crashed"
    assert first == 150


def test_of_a_thousand_domains_ten_lines_are_drawn(asked):
    board = boards()["fleet"]
    panel = next(one for one in board.panels if one.title == "CPU by domain, top 10")
    chosen = asked.chosen(board, WINDOW)
    assert len(asked.range(f"{CPU}", WINDOW)) == 1000
    assert len(asked.target(panel.targets[0], WINDOW, chosen)) == 10


def test_the_check_tells_values_that_are_not_of_the_panels_unit(recorded, capsys):
    arguments = ["--from", str(WINDOW.start), "--to", str(WINDOW.end)]
    assert check.main(["--prometheus", recorded.url, *arguments]) == 1
    told = capsys.readouterr().out.splitlines()
    assert "fleet / CPU / CPU: 55 is no percentunit: not within 0 and 1.5" in told
    assert "fleet / Waiting jobs / jobs: empty" in told
    assert not [one for one in told if one.startswith("fleet / Size of the pool")]
    assert "fleet / mark / Paused: empty (nobody has paused the pool)" in told


def test_a_pool_that_is_not_there_shows_nothing(recorded, capsys):
    arguments = ["--from", str(WINDOW.start), "--to", str(WINDOW.end), "--set", "pool=other"]
    assert check.main(["--prometheus", recorded.url, *arguments]) == 1
    assert "fleet / Size of the pool / ready: empty" in capsys.readouterr().out.splitlines()


def test_without_data_every_query_is_answered_and_every_panel_empty(nothing):
    client = Prometheus(nothing.url)
    found = check.findings(client, WINDOW)
    client.close()
    assert {one.fault for one in found} <= {"empty", "no value to choose"}
    targets = [
        one for board in boards().values() for panel in board.panels for one in panel.targets
    ]
    constant = [one for one in targets if one.expr == "vector($target)"]
    empty = [one for one in found if one.fault == "empty" and "/ mark /" not in one.place]
    assert len(empty) == len(targets) - len(constant)


@pytest.mark.parametrize("name", ["dispatcher", "fleet"])
def test_a_dashboard_is_drawn_with_data_and_without(recorded, nothing, tmp_path, name):
    times = ["--from", "2023-11-14T22:14:20", "--to", str(WINDOW.end)]
    for url, fewest in ((recorded.url, 20), (nothing.url, 5)):
        where = tmp_path / url.rsplit(":", 1)[1]
        arguments = ["--prometheus", url, *times, "--out", str(where), "--dashboard", name]
        assert render.main(arguments) == 0
        image = Image.open(io.BytesIO((where / f"{name}.png").read_bytes()))
        assert image.width > 1000
        assert len(image.getcolors()) > fewest


def test_chosen_panels_alone_are_drawn_and_unknown_ones_told(recorded, tmp_path, capsys):
    arguments = ["--prometheus", recorded.url, "--from", str(START), "--to", str(WINDOW.end)]
    arguments += ["--out", str(tmp_path), "--dashboard", "elasticity"]
    assert render.main([*arguments, "--panel", "Demand and supply"]) == 0
    with Image.open(tmp_path / "elasticity.png") as image:
        assert image.height < 500
    assert render.main([*arguments, "--panel", "Demand"]) == 1
    assert "virtscale / Elasticity has no panel Demand" in capsys.readouterr().err
