"""Rules that hold for every test."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
_QUICK = ("architecture", "unit", "property")

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full: too slow for the inner loop; only in the full run")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Begun in the background of a script: what a test starts would ignore Ctrl-C, too.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The directory says how fast a test must be; `full` takes one out of its directory's rule."""
    for item in items:
        parts = item.path.relative_to(ROOT / "tests").parts
        if parts[0] in _QUICK and item.get_closest_marker("full") is None:
            item.add_marker(pytest.mark.quick)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own settings must not decide whether a test passes."""
    for name in os.environ:
        if name.startswith("VIRTSCALE_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_leaked_threads() -> Iterator[None]:
    """A surviving thread would disturb a later test, where nobody looks for the cause."""
    before = set(threading.enumerate())
    yield
    leaked = [
        thread
        for thread in threading.enumerate()
        if thread not in before and not thread.daemon and thread.is_alive()
    ]
    assert not leaked, f"threads left running: {leaked}"
