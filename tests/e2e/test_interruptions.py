"""Ctrl-C, a closed terminal or a plain kill at any moment of the start leave nothing behind."""

import itertools
import random
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import machine

pytestmark = pytest.mark.e2e

_MOMENTS = random.Random(20261123)


@pytest.fixture(params=["image", "no image"])
def begun_in(request: pytest.FixtureRequest, stack_state: Path) -> Iterator[Path]:
    """The state directory; without an image, which takes most of a first start, or with one."""
    if request.param == "image":
        yield stack_state
        return
    aside = stack_state / "image-aside"
    aside.mkdir()
    # What was downloaded for it stays: a signal would meet nothing but the download.
    for built in (stack_state / "image").glob("[!.]*"):
        built.rename(aside / built.name)
    yield stack_state
    for built in aside.iterdir():
        shutil.rmtree(stack_state / "image" / built.name, ignore_errors=True)
        built.rename(stack_state / "image" / built.name)
    aside.rmdir()


def _cases() -> Iterator[tuple[signal.Signals, float, str]]:
    bounds = ((0.05, 0.5), (0.5, 1.5), (1.5, 3.0), (3.0, 8.0))
    # Each signal meets the build of an image, and the start of what comes after it.
    begun_in = itertools.cycle(("no image", "image", "image", "no image"))
    for first, last in bounds:
        for number in (signal.SIGINT, signal.SIGHUP):
            yield number, round(_MOMENTS.uniform(first, last), 2), next(begun_in)


@pytest.mark.parametrize(
    ("number", "after_seconds", "begun_in"),
    list(_cases()),
    indirect=["begun_in"],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else str(value),
)
@pytest.mark.timeout(120)
def test_a_signal_at_any_moment_leaves_nothing(begun_in, virtscale, number, after_seconds) -> None:
    with machine.running_stack(begun_in, "--no-load", command=virtscale) as stack:
        # Not a wait for something to happen: the moment itself is what is tested.
        threading.Event().wait(after_seconds)
        stack.stop(number, within=60)
        assert stack.leftovers() == []


@pytest.mark.timeout(120)
def test_a_second_signal_cuts_the_power_at_once(stack_state, virtscale) -> None:
    with machine.running_stack(stack_state, "--no-load", command=virtscale) as stack:
        machine.wait_for("a domain runs", stack.running, within=60)
        stack.process.send_signal(signal.SIGINT)
        machine.wait_for(
            "it says that it stops", lambda: "stopping" in stack.output.read_text(), within=20
        )
        machine.wait_for("it ends", lambda: _ended_by_another(stack), within=20, every=0.5)
        assert stack.leftovers() == []


def _ended_by_another(stack: machine.Stack) -> bool:
    """One more Ctrl-C, unless it has ended."""
    if stack.process.poll() is None:
        stack.process.send_signal(signal.SIGINT)
    return stack.process.poll() is not None
