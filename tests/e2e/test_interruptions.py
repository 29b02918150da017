"""Ctrl-C, a closed terminal or a plain kill at any moment of the start leave nothing behind."""

import random
import signal
import threading

import pytest

from tests.e2e import machine

pytestmark = pytest.mark.e2e

_MOMENTS = random.Random(20261123)


@pytest.mark.parametrize(
    ("number", "after_seconds"),
    [
        (number, round(_MOMENTS.uniform(*bounds), 2))
        for bounds in ((0.05, 0.5), (0.5, 1.5), (1.5, 3.0), (3.0, 8.0))
        for number in (signal.SIGINT, signal.SIGHUP)
    ],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else f"{value} s",
)
@pytest.mark.timeout(120)
def test_a_signal_at_any_moment_leaves_nothing(
    stack_state, virtscale, number, after_seconds
) -> None:
    with machine.running_stack(stack_state, "--no-load", command=virtscale) as stack:
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
