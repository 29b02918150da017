import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import guest_worker

ROOT = Path(__file__).parents[3]
IDENTITY = {
    "VIRTSCALE_DISPATCHER": "127.0.0.1:15051",
    "VIRTSCALE_WORKER_ID": "pool-1",
    "VIRTSCALE_JOIN_TOKEN": "v1.c2VjcmV0",
}


def run(*command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *command],
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}", "PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_check_config_says_ok_and_connects_nowhere() -> None:
    result = run("-m", "guest_worker", "--check-config", **IDENTITY)
    assert (result.returncode, result.stdout, result.stderr) == (0, "configuration OK\n", "")


def test_bad_settings_exit_2_with_one_sentence_each() -> None:
    result = run("-m", "guest_worker", "--slots", "0", "--what")
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert all(line.startswith("guest_worker: ") for line in lines)
    assert len(lines) == 5


def test_a_log_file_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "worker.log"
    result = run("-m", "guest_worker", "--logfile", str(path), **IDENTITY)
    assert result.returncode == 2
    assert result.stderr == f"guest_worker: logfile: {path}: No such file or directory\n"


def test_help_goes_to_stdout() -> None:
    result = run("-m", "guest_worker", "--help")
    assert result.returncode == 0
    assert result.stdout.startswith("usage: python -m guest_worker")


def test_the_version_is_the_distributions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == guest_worker.VERSION


def test_nothing_slow_is_imported_before_hello() -> None:
    """Boot time of a domain: whoever adds an import here sees it."""
    code = """
import sys
from guest_worker import __main__ as m, config
early = set(sys.modules)
settings = config.load([], __import__("os").environ)
m._identity(settings)
m._transport(settings, lambda: None).close()
loaded = {name for name, module in sys.modules.items() if "__spec__" in vars(module)
          and getattr(module, "__spec__", None) is not None}
print(sorted(early & {"grpc", "google", "hashlib", "threading", "typing_extensions"}))
slow = {"asyncio", "asyncio.base_events", "ssl", "subprocess", "argparse", "dataclasses", "uuid",
        "argon2", "hashlib", "multiprocessing", "signal", "concurrent.futures.thread", "pickle",
        "google.protobuf.text_format", "google.protobuf.internal.decoder", "grpc.aio._channel",
        "importlib.metadata", "json", "inspect", "traceback"}
print(sorted(loaded & slow))
"""
    result = run("-S", "-c", code, **IDENTITY, PYTHONPATH=_path())
    assert result.stderr == ""
    assert result.stdout == "[]\n[]\n"


def test_only_what_a_guest_has_is_imported() -> None:
    code = """
import sys, grpc
from guest_worker import __main__, transport, hashing_process, loads
print(sorted({name.partition(".")[0] for name in sys.modules} & {
    "servicekit", "dispatcher", "collector", "scaler", "stack", "structlog", "pydantic",
    "prometheus_client", "libvirt"}))
"""
    result = run("-c", code)
    assert (result.stdout, result.stderr) == ("[]\n", "")


def _path() -> str:
    import grpc

    return f"{ROOT}:{ROOT / 'proto'}:{Path(grpc.__file__).parents[1]}"


def test_every_environment_variable_in_the_usage_is_documented_with_its_prefix() -> None:
    variables = set(re.findall(r"\$([A-Z_]+)", guest_worker.config.USAGE))
    assert all(name.startswith(("VIRTSCALE_", "CREDENTIALS_")) for name in variables)
