"""The benchmarks still run: a smoke run of each, without peers, and nothing is left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.rig import PROGRAMS
from bench.usage import family

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0
NEEDED = ("libvirtd", "qemu-system-x86_64")
MISSING = [one for one in NEEDED if shutil.which(one, path=PROGRAMS) is None]
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """Where the benchmark puts its files; all of them must be gone when it has ended."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    yield folder
    assert not list(folder.iterdir())


def start(scratch: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dispatch", "submit -> hash -> stored -> result, batched"),
        ("latency", "durable ack p99, Poisson 1,000/s"),
        ("worker", "argon2id: worker's hashes per CPU second / library's"),
    ],
)
def test_a_smoke_run_measures_something(
    name: str, expected: str, scratch: Path, tmp_path: Path
) -> None:
    written = tmp_path / "figures.json"
    process = start(scratch, name, "--quick", "--json", str(written))
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output + errors
    found = json.loads(written.read_text())
    figures = {each["what"]: each for each in found["figures"]}
    assert figures[expected]["measured"] > 0
    assert all(each["what"] in output for each in found["figures"])
    if name == "latency":
        (normal,) = found["normal"]
        assert normal["codes"]["OK"] > 0
        assert normal["missing_results"] == 0
        assert "CANCELLED" not in found["overload"]["codes"]
        assert found["overload"]["refused_without_retry_info"] == 0
        assert len(found["recovery"]["killed_milliseconds"]) == 2
    if name == "dispatch":
        assert found["growth"]["points"][-1]["queued"] == 2_000
        assert found["growth"]["checked"] > 0


@pytest.fixture
def reachable_scratch() -> Iterator[Path]:
    """As `scratch`, for a libvirtd of nobody's: with a short name, and nobody may look into it."""
    folder = Path(tempfile.mkdtemp(prefix="vs-"))
    folder.chmod(0o755)
    yield folder
    assert not list(folder.iterdir())
    folder.rmdir()


def test_a_smoke_run_of_the_scaler_takes_whole_turns(
    reachable_scratch: Path, tmp_path: Path
) -> None:
    if shutil.which("libvirtd", path=PROGRAMS) is None:
        pytest.skip("needs libvirtd")
    written, drawn = tmp_path / "figures.json", tmp_path / "growth.html"
    flags = ("--quick", "--json", str(written), "--plot", str(drawn))
    process = start(reachable_scratch, "decide", *flags)
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output + errors
    found = json.loads(written.read_text())
    (figure,) = found["figures"]
    assert figure["measured"] > 0
    (whole,) = found["whole_turns"]
    assert whole["size"] == 10
    # What is asked is part of the turn, and each of it costs something.
    assert sum(whole["parts"].values()) > 0
    assert set(whole["parts"]) == {"libvirt", "dispatcher", "signals"}
    assert 0 < whole["quiet"] <= whole["slowest"]
    assert whole["moving"] > 0
    assert drawn.read_text(encoding="utf-8").count("<svg") == 2


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
def test_a_smoke_run_of_the_collector_reads_real_domains(scratch: Path, tmp_path: Path) -> None:
    written, drawn = tmp_path / "figures.json", tmp_path / "growth.html"
    # Without peers: what is installed beside us must not decide whether this passes.
    process = start(
        scratch,
        *("collector", "--quick", "--no-peers"),
        *("--json", str(written), "--plot", str(drawn)),
    )
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output + errors
    found = json.loads(written.read_text())
    rounds = {one["name"]: one for one in found["rounds_3"]}
    assert rounds["ours, six groups"]["series"] > 3 * 30
    assert rounds["ours, six groups"]["libvirtd_ms_per_domain"] > 0
    assert [one["complete"] for one in found["frozen"]["ours"]["scrapes"]] == [2, 2, 2]
    assert not found["libvirtd"]["stopped"]["up"]
    assert found["scrapers"]["ours"]["one"]["bulk"] > 0
    assert [one["domains"] for one in found["growth"]] == [10, 100]
    assert "<svg" in drawn.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_it_started(scratch: Path, number: signal.Signals) -> None:
    process = start(scratch, "dispatch", "--no-peers", "--growth", "0", "--runs", "1000")
    deadline = time.monotonic() + PATIENCE
    # The benchmark, its dispatcher, a worker with two hashing processes, and the client.
    while len(started := family(process.pid)) < 6:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    while any(Path(f"/proc/{pid}").exists() for pid in started):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_without_its_packages_it_says_what_to_run() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", ROOT / "bench" / "__main__.py", "worker"],
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "run bench/setup" in done.stderr
    assert "Traceback" not in done.stderr
