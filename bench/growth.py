"""What a job costs as the queue grows, a restart with a full queue, and draining it again."""

import json
import time
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from bench.numbers import check_answers
from bench.report import print_bars, print_rows
from bench.rig import DispatcherProcess, Rig, WorkerProcess, wait_until
from bench.usage import cpu_seconds, resident_bytes

_STEPS = (1, 2, 5)
_FIRST_MARK = 1_000
_FILL_SECONDS = 3_600.0
_DRAIN_SECONDS = 7_200.0
_SAMPLE_SECONDS = 0.5
_READY = 'virtscale_dispatcher_jobs{state="ready"}'
_DONE = 'virtscale_dispatcher_jobs{state="done"}'


def marks(top: int) -> list[int]:
    """1,000, 2,000, 5,000, 10,000 and so on, up to and with `top`."""
    found = [
        step * 10**power
        for power in range(3, len(str(top)))
        for step in _STEPS
        if _FIRST_MARK <= step * 10**power < top
    ]
    return [*found, top]


def measure(rig: Rig, top: int, slots: int, prefetch: int) -> dict[str, Any]:
    """Fills, kills, restarts and drains one dispatcher."""
    dispatcher = DispatcherProcess(rig, max_unfinished_jobs=top + 10_000)
    dispatcher.start()
    empty = resident_bytes(dispatcher.pid)
    asked = {"address": dispatcher.address, "pid": dispatcher.pid, "marks": marks(top)}
    filled = rig.report("filler", "bench.filler", asked, _FILL_SECONDS)
    restart = _restart(rig, dispatcher)
    drained = _drain(rig, dispatcher, slots, prefetch)
    sample = {"address": dispatcher.address, "sample": filled["sample"]}
    answers = rig.report("read-back", "bench.probe", sample, 120)["answers"]
    checked = check_answers((number, stored) for number, stored in answers)
    return {
        "empty_bytes": empty,
        "points": filled["points"],
        "restart": restart,
        "drained": drained,
        "checked": checked,
    }


def _restart(rig: Rig, dispatcher: DispatcherProcess) -> dict[str, float]:
    ready, found = rig.directory / "probe-ready", rig.directory / "probe.json"
    probe = rig.python(
        "probe",
        *("-m", "bench.probe"),
        *(json.dumps({"address": dispatcher.address, "ready": str(ready)}), found),
    )
    wait_until(ready.exists, "the probe watches")
    database = dispatcher.database_bytes()
    dispatcher.kill()
    began = time.monotonic()
    dispatcher.start()
    wait_until(lambda: probe.poll() is not None, "the dispatcher serves again")
    if probe.returncode != 0:
        raise SystemExit(f"no restart seen:\n{rig.tail('probe')}")
    serving = json.loads(found.read_text())["serving_at"] - began
    return {
        "serving_seconds": serving,
        "resident_bytes": resident_bytes(dispatcher.pid),
        "database_bytes": database,
    }


def _drain(
    rig: Rig, dispatcher: DispatcherProcess, slots: int, prefetch: int
) -> list[dict[str, float]]:
    """Cost per job while the queue shrinks, by the queue's length, longest first."""
    bounds = sorted((mark for mark in marks(10**9) if str(mark)[0] == "1"), reverse=True)
    queued = dispatcher.metrics()[_READY]
    worker = WorkerProcess(rig, dispatcher.address, "bench-1", slots, prefetch)
    wait_until(lambda: dispatcher.metrics()[_DONE] > 0, "the first job is done")
    samples = [_sample(dispatcher)]
    deadline = time.monotonic() + _DRAIN_SECONDS
    while samples[-1]["left"] > 0:
        if time.monotonic() > deadline:
            raise SystemExit(f"{samples[-1]['left']:.0f} of {queued:.0f} jobs were not drained")
        time.sleep(_SAMPLE_SECONDS)
        samples.append(_sample(dispatcher))
    worker.kill()
    rows = []
    for bound in bounds:
        part = [each for each in samples if bound <= each["left"] < bound * 10]
        if len(part) < 2 or part[0]["left"] == part[-1]["left"]:
            continue
        jobs = part[0]["left"] - part[-1]["left"]
        rows.append(
            {
                "queued": bound,
                "us_per_job": (part[-1]["at"] - part[0]["at"]) / jobs * 1e6,
                "cpu_us_per_job": (part[-1]["cpu"] - part[0]["cpu"]) / jobs * 1e6,
                "resident_bytes": part[-1]["resident"],
            }
        )
    return rows


def _sample(dispatcher: DispatcherProcess) -> dict[str, float]:
    jobs = dispatcher.metrics()
    prefix = "virtscale_dispatcher_jobs{"
    if any(jobs.get(f'{prefix}state="{state}"}}', 0) for state in ("failed", "cancelled")):
        raise SystemExit("jobs failed: the run does not count")
    return {
        "at": time.monotonic(),
        "left": jobs[_READY] + jobs[f'{prefix}state="leased"}}'],
        "cpu": cpu_seconds([dispatcher.pid]),
        "resident": resident_bytes(dispatcher.pid),
    }


def show(found: dict[str, Any]) -> None:
    """Prints the table and the plots."""
    print(f"\nqueue growth (no worker; batches of 1,000; empty: {_mib(found['empty_bytes'])} MiB)")
    rows = [("queued jobs", "us/job", "dispatcher CPU us/job", "resident MiB", "bytes/job")]
    for point in found["points"]:
        grown = point["resident_bytes"] - found["empty_bytes"]
        rows.append(
            (
                f"{point['queued']:,}",
                f"{point['us_per_job']:.1f}",
                f"{point['cpu_us_per_job']:.1f}",
                _mib(point["resident_bytes"]),
                f"{grown / point['queued']:.0f}",
            )
        )
    print_rows(rows)
    print_bars(
        "time per job while the queue grows to",
        [(f"{point['queued']:,}", point["us_per_job"]) for point in found["points"]],
        "us",
    )
    restart = found["restart"]
    print(
        f"\nrestart after kill -9: accepts again after {restart['serving_seconds']:.2f} s, resident"
        f" {_mib(restart['resident_bytes'])} MiB; store {_mib(restart['database_bytes'])} MiB"
    )
    print(f"\ndraining by one worker ({found['checked']:,} results read back and verified)")
    shrinking = [("queue from", "us/job", "dispatcher CPU us/job", "resident MiB")]
    shrinking += [
        (
            f"{point['queued']:,}",
            f"{point['us_per_job']:.1f}",
            f"{point['cpu_us_per_job']:.1f}",
            _mib(point["resident_bytes"]),
        )
        for point in found["drained"]
    ]
    print_rows(shrinking)


def _mib(count: float) -> str:
    return f"{count / (1 << 20):,.1f}"


def write_svg(path: Path, found: dict[str, Any]) -> None:
    """A plot: time per job and resident memory over the queue's length, both axes from zero."""
    points = found["points"]
    width, height, left, bottom = 720, 360, 70, 50
    step = (width - 2 * left) / max(1, len(points) - 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{left}" y="20">us per job: wall (blue), dispatcher CPU (green);'
        " resident MiB (red); by jobs in the queue</text>",
    ]
    longest = max(point["us_per_job"] for point in points) * 1.1
    largest = max(point["resident_bytes"] for point in points) / (1 << 20) * 1.1
    series = (
        ("#1f8f3f", [point["cpu_us_per_job"] for point in points], longest, 0),
        ("#1f5fbf", [point["us_per_job"] for point in points], longest, 0),
        (
            "#bf2f1f",
            [point["resident_bytes"] / (1 << 20) for point in points],
            largest,
            width - left + 8,
        ),
    )
    for colour, values, top, edge in series:
        places = [
            (left + number * step, height - bottom - value / top * (height - bottom - 40))
            for number, value in enumerate(values)
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{line}"/>')
        parts.append(f'<text x="{edge}" y="40" fill="{colour}">{top:,.0f}</text>')
        parts.append(f'<text x="{edge}" y="{height - bottom}" fill="{colour}">0</text>')
    for number, point in enumerate(points):
        label = escape(f"{point['queued']:,}")
        x, y = left + number * step, height - bottom + 16
        parts.append(f'<text transform="translate({x:.1f} {y}) rotate(30)">{label}</text>')
    path.write_text("\n".join([*parts, "</svg>"]))
