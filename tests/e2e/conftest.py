"""One installed virtscale and one state directory per test session, as a user would have them."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test's limit is not also for the installation, which the first one waits for."""
    for item in items:
        if "installation" in getattr(item, "fixturenames", ()):
            marker = item.get_closest_marker("timeout")
            limit = marker.args if marker else (item.config.getini("timeout"),)
            item.add_marker(pytest.mark.timeout(*limit, func_only=True), append=False)


@pytest.fixture(scope="session")
def installation() -> Iterator[Path]:
    """A state directory that the unprivileged user may enter, with virtscale set up in it."""
    state = Path(tempfile.mkdtemp(prefix="vs-", dir="/var/tmp"))
    state.chmod(0o755)
    environment = {**os.environ, "VIRTSCALE_STATE": str(state)}
    setup = [machine.ROOT / "run", "--setup-only"]
    try:
        subprocess.run(setup, env=environment, check=True, timeout=600)
        yield state
    finally:
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture
def virtscale(installation: Path) -> list[str]:
    """The installed command."""
    return [str(installation / "venv" / "bin" / "virtscale")]


@pytest.fixture
def stack_state(installation: Path) -> Iterator[Path]:
    """The state directory, with the store and logs of earlier tests removed."""
    for name in ("dispatcher", "scaler", "prometheus", "alertmanager", "logs"):
        shutil.rmtree(installation / name, ignore_errors=True)
    yield installation
    for left in machine.processes_of(installation):
        left.kill()
