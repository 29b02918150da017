"""What a person gets for bad input: the thing, the fix, an exit code that is not 0."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from virtscale.v1 import (
    fleet_pb2,
    fleet_pb2_grpc,
    job_pb2,
    license_pb2,
    license_pb2_grpc,
)

from tests.e2e import machine
from tests.free_ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
UNPRIVILEGED = 65534


@pytest.fixture
def state() -> Iterator[Path]:
    """A short path that the user below may write: sockets are in it."""
    path = Path(tempfile.mkdtemp(prefix="vs-"))
    if os.geteuid() == 0:
        os.chown(path, UNPRIVILEGED, UNPRIVILEGED)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def environment() -> dict[str, str]:
    """What an ordinary user's process sees."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}",
        "COLUMNS": "400",
    }


def virtscale(
    *arguments: str,
    given: str = "",
    environ: Mapping[str, str] | None = None,
    program: Sequence[str] = ("-m", "stack"),
) -> subprocess.CompletedProcess[str]:
    """Runs the command as an ordinary user, from a checkout or an installation."""
    options = {"user": UNPRIVILEGED, "group": UNPRIVILEGED} if os.geteuid() == 0 else {}
    return subprocess.run(
        [sys.executable, *program, *arguments],
        env={**environment(), **(environ or {})},
        input=given,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        extra_groups=[] if options else None,
        **options,  # type: ignore[call-overload]
    )


def refused(*arguments: str, given: str = "", environ: Mapping[str, str] | None = None) -> str:
    """The error text of a command that must fail, without a traceback."""
    result = virtscale(*arguments, given=given, environ=environ)
    assert result.returncode not in (0, None), result.stdout
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--flag-that-is-not"], ["--flag-that-is-not"]),
        (["--delta", "soon"], ["--delta", "'soon'", "a number"]),
        (["--delta", "0"], ["delta = 0", "greater than 0"]),
        (["--load", "heavy"], ["load = 'heavy'", "collision"]),
        (["--load", "collision", "--difficulty", "99"], ["difficulty = 99", "1 to 40"]),
        (["--min", "3", "--max", "2"], ["min = 3", "max = 2"]),
        (["--profile", "md5"], ["profile = 'md5'", "argon2id"]),
        (["--config", "/nowhere.yaml"], ["/nowhere.yaml", "--config"]),
        (["--scaler-port", "0"], ["scaler_port = 0"]),
        (["--scaler-port", "20500", "--collector-port", "20500"], ["both 20500"]),
        (["--define"], ["define needs url"]),
        (["--policies-file", "/nowhere.yaml"], ["policies_file = /nowhere.yaml: no such file"]),
        (["--summary", "/nowhere/out.json"], ["/nowhere/out.json", "choose another file"]),
    ],
)
def test_a_bad_option_is_named(state: Path, arguments: list[str], words: list[str]) -> None:
    result = virtscale("up", "--state", str(state), *arguments)
    assert result.returncode != 0
    text = result.stdout + result.stderr
    assert "Traceback" not in text
    for word in words:
        assert word in text


def test_every_fault_of_a_configuration_file_is_named_at_once(state: Path) -> None:
    config = state / "up.yaml"
    config.write_text("delta: -1\ntypo: 2\nmemory: lots\n", encoding="utf-8")
    text = refused("up", "--state", str(state), "--config", str(config))
    for word in ("delta = -1", "unknown key 'typo'", "memory = 'lots'", str(config)):
        assert word in text


def test_every_fault_of_a_policies_file_is_named_before_anything_starts(state: Path) -> None:
    file = state / "policies.yaml"
    file.write_text("min: 9\npolicies: [{kind: magic}, {kind: target}]\n", encoding="utf-8")
    text = refused("up", "--state", str(state), "--policies-file", str(file))
    for word in (str(file), "'magic'", "policies.1.target.signal is not set"):
        assert word in text
    file.write_text("min: 9\n", encoding="utf-8")
    text = refused("up", "--state", str(state), "--max", "3", "--policies-file", str(file))
    assert "min = 9 must not exceed max = 3" in text


def test_a_busy_port_is_named_with_service_and_option(state: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        result = virtscale(
            "up",
            "--state",
            str(state),
            "--port-base",
            str(free_ports(8)),
            "--scaler-port",
            str(port),
        )
    assert result.returncode == 1
    assert f"port {port} for the scaler" in result.stdout
    assert "--scaler-port" in result.stdout


PORTS = {
    "--dispatcher-port": "dispatcher",
    "--dispatcher-metrics-port": "dispatcher's metrics",
    "--scaler-port": "scaler",
    "--collector-port": "collector",
    "--prometheus-port": "prometheus",
    "--alertmanager-port": "alertmanager",
}


def test_all_busy_ports_are_told_at_once_each_with_its_option(state: Path) -> None:
    with contextlib.ExitStack() as held:
        taken = {
            option: held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            for option in PORTS
        }
        flags = [part for option, port in taken.items() for part in (option, str(port))]
        result = virtscale("up", "--state", str(state), *flags)
    assert result.returncode == 1
    for option, port in taken.items():
        assert f"port {port} for the {PORTS[option]} cannot be used" in result.stdout
        assert f"{option} PORT" in result.stdout
    assert_nothing_runs(state)


@contextlib.contextmanager
def disk(directory: Path, size: str) -> Iterator[Path]:
    """A disk of its own that the user below may write."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount the small disk that this test needs")
    directory.mkdir()
    options = f"size={size},uid={UNPRIVILEGED}"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no small disk, this machine does not let us mount: {mounted.stderr}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@pytest.fixture
def small_disk(state: Path) -> Iterator[Path]:
    """A disk of 30 MB: room for the layout, none for an image."""
    with disk(state / "disk", "30m") as directory:
        yield directory


def test_without_disk_space_nothing_is_started(small_disk: Path) -> None:
    result = virtscale("up", "--state", str(small_disk), "--port-base", str(free_ports(8)))
    assert result.returncode == 1
    assert f"{small_disk} has " in result.stdout
    assert "MiB are needed; free some space" in result.stdout
    assert "--state" in result.stdout
    assert_nothing_runs(small_disk)


def fill(directory: Path) -> None:
    """Leaves no room for a file, and none for a directory."""
    with (directory / "rest").open("wb", buffering=0) as rest:
        for size in (1 << 20, 1 << 12, 1):
            with pytest.raises(OSError, match="No space"):
                while True:
                    rest.write(bytes(size))
                    # What is only promised a place may find one after all.
                    os.fsync(rest.fileno())


def test_without_any_disk_space_the_state_directory_is_named(small_disk: Path) -> None:
    fill(small_disk)
    text = refused("up", "--state", str(small_disk), "--port-base", str(free_ports(8)))
    assert str(small_disk) in text
    assert "No space left on device" in text
    assert_nothing_runs(small_disk)


def test_without_disk_space_no_image_is_built(small_disk: Path) -> None:
    text = refused("image", "build", "--state", str(small_disk))
    assert f"{small_disk / 'image'}: " in text
    assert "MB free" in text
    assert "--state" in text
    assert_no_image(small_disk)


@pytest.mark.timeout(180)
def test_a_disk_that_fills_up_during_the_build_is_told_and_nothing_half_done_is_left(
    state: Path,
) -> None:
    with disk(state / "disk", "720m") as directory:
        command = [sys.executable, "-m", "stack", "image", "build", "--state", str(directory)]
        build = subprocess.Popen(
            command,
            env=environment(),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            user=UNPRIVILEGED,
            group=UNPRIVILEGED,
            extra_groups=[],
        )
        try:
            machine.wait_for(
                "the build to unpack",
                lambda: list(directory.glob("image/.building-*/root/usr")) or build.poll(),
                within=90.0,
                every=0.05,
            )
            with pytest.raises(OSError, match="No space"), (directory / "rest").open("wb") as rest:
                while True:
                    rest.write(bytes(1_000_000))
            _, text = build.communicate(timeout=60)
        finally:
            build.kill()
            build.wait()
        assert build.returncode == 1
        assert "Traceback" not in text
        assert f"{directory / 'image'}: the disk became full" in text
        assert "--state" in text
        assert_no_image(directory)
        assert not (directory / "image" / ".downloads").exists()


def test_without_a_network_no_image_is_built(state: Path) -> None:
    """apt's own configuration says where its servers are: here, at a port where nobody answers."""
    sources = state / "sources.list"
    sources.write_text("deb http://127.0.0.1:1/debian stable main\n", encoding="utf-8")
    config = state / "apt.conf"
    config.write_text(
        f'Dir::Etc::sourcelist "{sources}";\nDir::Etc::sourceparts "/dev/null";\n'
        'Acquire::Retries::Delay "false";\nAcquire::http::Proxy "DIRECT";\n',
        encoding="utf-8",
    )
    text = refused("image", "build", "--state", str(state), environ={"APT_CONFIG": str(config)})
    assert "127.0.0.1:1" in text
    assert "Check the network" in text
    assert_no_image(state)


def test_a_distribution_without_apt_is_told_what_is_needed(state: Path) -> None:
    text = refused("image", "build", "--state", str(state), environ={"PATH": "/nonexistent"})
    assert "the program apt-get is missing" in text
    assert "Debian 12 or Ubuntu 22.04" in text
    assert_no_image(state)


@pytest.mark.parametrize("program", ["prometheus", "prometheus-alertmanager"])
def test_a_server_that_is_not_installed_is_named_with_its_package(
    state: Path, program: str
) -> None:
    """Hidden in a name space of its own; before anything is built or started."""
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/bin")
    if os.geteuid() != 0 or path is None:
        pytest.skip(f"only root can hide {program}, and it must be there")
    hide = f"mount --bind /dev/null {path} && "
    drop = f"exec setpriv --reuid={UNPRIVILEGED} --regid={UNPRIVILEGED} --clear-groups"
    up = (
        sys.executable,
        "-m",
        "stack",
        "up",
        "--state",
        str(state),
        "--port-base",
        str(free_ports(8)),
    )
    command = ["unshare", "--mount", "sh", "-c", f'{hide}{drop} "$@"', "sh", *up]
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine does not let us hide a program in a name space")
    result = subprocess.run(
        command,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode == 1
    assert f"the program {program} is not installed" in result.stdout
    assert f"apt-get install {program}" in result.stdout
    assert "Warning" not in result.stderr
    assert_no_image(state)
    assert_nothing_runs(state)


def assert_no_image(state: Path) -> None:
    assert not list((state / "image").glob(".building-*"))
    assert not list((state / "image").rglob("image.json"))
    assert "there is no guest image" in refused("image", "show", "--state", str(state))


def assert_nothing_runs(state: Path) -> None:
    assert machine.processes_of(state) == []
    assert not list((state / "run").glob("*.pid"))
    assert not (state / "run" / "endpoints.json").exists()


def test_a_state_directory_that_cannot_be_written_is_named() -> None:
    text = refused("up", "--state", "/proc/virtscale")
    assert "/proc/virtscale" in text
    assert "--state" in text


def test_a_path_too_long_for_sockets_is_refused_before_anything_is_made() -> None:
    text = refused("up", "--state", "/tmp/" + "x" * 120)
    assert "too long" in text
    assert "--state" in text


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("qemu+unix:///system?socket=/nowhere/libvirt-sock", ["/nowhere/libvirt-sock"]),
        ("qemu+tcp://127.0.0.1:1/system", ["127.0.0.1:1", "refused"]),
        ("nonsense", ["nonsense", "no libvirt URI"]),
        ("test:///nowhere.xml", ["/nowhere.xml"]),
    ],
)
def test_a_libvirt_that_cannot_be_used_is_named(state: Path, uri: str, words: list[str]) -> None:
    result = virtscale("up", "--state", str(state), "--url", uri, "--port-base", str(free_ports(8)))
    assert result.returncode == 1
    for word in (*words, "--url"):
        assert word in result.stdout
    assert "Traceback" not in result.stdout + result.stderr
    assert_nothing_runs(state)


def test_a_refused_start_leaves_no_process_and_keeps_an_old_summary(state: Path) -> None:
    summary = state / "out.json"
    summary.write_text("{}", encoding="utf-8")
    os.chmod(summary, 0o666)
    refused("up", "--state", "/proc/virtscale", "--summary", str(summary))
    assert summary.read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["top"], ["watch"], ["explain"], ["verify", "KA-47-UT-9173", "d:s"]],
)
def test_without_a_running_stack_a_command_says_how_to_start_one(
    state: Path, arguments: list[str]
) -> None:
    text = refused(*arguments, "--state", str(state))
    assert f"no stack is running in {state}" in text
    assert "virtscale up" in text


def test_down_without_a_stack_is_no_error(state: Path) -> None:
    result = virtscale("down", "--state", str(state))
    assert result.returncode == 0
    assert "no stack is running" in result.stdout


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", ["127.0.0.1:1", "does not answer", "given up after 1 s, --patience"]),
        ("nonsense", ["nonsense", "HOST:PORT"]),
        ("192.0.2.1:15051", ["192.0.2.1:15051", "--ca"]),
    ],
)
def test_a_dispatcher_that_cannot_be_used_is_named(
    state: Path, address: str, words: list[str]
) -> None:
    plates = state / "plates.txt"
    plates.write_text("KA-47-UT-9173\n", encoding="utf-8")
    text = refused("submit", str(plates), "--dispatcher", address, "--patience", "1")
    for word in words:
        assert word in text


def test_malformed_numbers_are_told_by_line_masked_and_nothing_is_sent(state: Path) -> None:
    plates = state / "plates.txt"
    plates.write_text("KA-47-UT-9173\nKA-47-UT-9173;DROP\n\n\x07\n", encoding="utf-8")
    text = refused("submit", str(plates), "--dispatcher", "127.0.0.1:1")
    assert f"{plates}:2:" in text
    assert f"{plates}:4:" in text
    assert "--skip-bad" in text
    assert "9173" not in text
    assert "does not answer" not in text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.txt", None, ["missing.txt", "No such file"]),
        ("empty.txt", "", ["empty.txt", "no numbers"]),
        ("cars.csv", "a,b\n1,2\n", ["--column", "'a', 'b'"]),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    state: Path, name: str, content: str | None, words: list[str]
) -> None:
    path = state / name
    if content is not None:
        path.write_text(content, encoding="utf-8")
    text = refused("submit", str(path), "--dispatcher", "127.0.0.1:1")
    for word in words:
        assert word in text


def test_an_unknown_profile_names_those_that_exist(state: Path) -> None:
    text = refused("submit", str(state / "x.txt"), "--profile", "md5")
    assert "'md5'" in text
    assert "argon2id" in text


def test_verify_without_a_number_says_how_to_give_one() -> None:
    text = refused("verify", "digest:salt", given="")
    assert "standard input" in text


def test_explain_refuses_a_time_that_is_none() -> None:
    text = refused("explain", "--at", "teatime")
    assert "teatime" in text
    assert "HH:MM:SS" in text


MEASURED = (
    "import atexit, sys\n"
    "status = open('/proc/self/status')\n"
    "atexit.register(lambda: sys.stderr.write(status.read()))\n"
    "from stack.__main__ import main\n"
    "sys.exit(main())\n"
)


def peak_memory_mb(stderr: str) -> float:
    """Largest resident set of a program that ran as `MEASURED`."""
    (line,) = [line for line in stderr.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


class _Licenses(license_pb2_grpc.LicenseServiceServicer):
    """Finishes every job at once; refuses for good after a number of batches."""

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.jobs = 0

    def StreamJobs(self, requests: Any, context: Any) -> Iterator[license_pb2.StreamJobsResponse]:
        done = job_pb2.JOB_STATE_DONE
        result = job_pb2.Result(profile=job_pb2.HASH_PROFILE_HMAC_SHA256, hash="h" * 100)
        for request in requests:
            if not self.batches:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no more")
            self.batches -= 1
            names = [f"j-{self.jobs + place}" for place in range(1, len(request.jobs) + 1)]
            self.jobs += len(names)
            accepted = license_pb2.BatchAccepted(request_id=request.request_id, job_ids=names)
            yield license_pb2.StreamJobsResponse(accepted=accepted)
            jobs = [job_pb2.Job(job_id=name, state=done, result=result) for name in names]
            finished = license_pb2.FinishedJobs(jobs=jobs)
            yield license_pb2.StreamJobsResponse(finished_jobs=finished)


class _Fleet(fleet_pb2_grpc.FleetServiceServicer):
    def GetBacklog(self, request: Any, context: Any) -> fleet_pb2.GetBacklogResponse:
        return fleet_pb2.GetBacklogResponse()


def test_a_huge_file_is_streamed_and_a_refusal_half_way_leaves_no_results(state: Path) -> None:
    plates, out = state / "plates.txt", state / "hashes.csv"
    with plates.open("w", encoding="utf-8") as file:
        file.writelines(f"KA-{number}\n" for number in range(1_000_000))
    licenses = _Licenses(batches=100)
    server = grpc.server(futures.ThreadPoolExecutor(8))
    license_pb2_grpc.add_LicenseServiceServicer_to_server(licenses, server)
    fleet_pb2_grpc.add_FleetServiceServicer_to_server(_Fleet(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    command = ("submit", str(plates), "--out", str(out), "--dispatcher", f"127.0.0.1:{port}")
    result = virtscale(*command, program=("-c", MEASURED))
    server.stop(None).wait()
    assert result.returncode == 1
    assert "answered INVALID_ARGUMENT: no more" in result.stderr
    assert "Traceback" not in result.stderr
    assert licenses.batches == 0
    assert licenses.jobs < 1_000_000
    assert [path.name for path in state.iterdir()] == ["plates.txt"]
    assert peak_memory_mb(result.stderr) < 200


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("plates.txt", ["plates.txt:2: more than 65536 characters", "nothing was sent"]),
        ("cars.csv", ["cars.csv:2: has more than 65536 characters"]),
    ],
)
def test_a_line_of_ten_megabytes_is_told_by_its_number(
    state: Path, name: str, words: list[str]
) -> None:
    path = state / name
    path.write_text("number\n" + "8" * 10_000_000 + "\n", encoding="utf-8")
    command = ("submit", str(path), "--dispatcher", "127.0.0.1:1")
    result = virtscale(*command, program=("-c", MEASURED))
    assert result.returncode == 2
    for word in words:
        assert word in result.stderr
    assert "8" * 10 not in result.stderr
    assert peak_memory_mb(result.stderr) < 100
