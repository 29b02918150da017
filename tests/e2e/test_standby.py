"""Standby tiers on real guests: what waits is woken, serves, waits again, and no job is lost."""

from typing import Any

import pytest
import requests

from tests.e2e import machine
from tests.e2e.test_scale_out_and_in import jobs

pytestmark = pytest.mark.e2e

WAITING = {"paused": "standby_paused", "saved": "standby_saved"}


def ask_scaler(stack: machine.Stack, path: str) -> Any:
    answer = requests.get(f"http://127.0.0.1:{stack.ports['scaler']}/api/v1/{path}", timeout=5)
    answer.raise_for_status()
    return answer.json()


def states(stack: machine.Stack) -> list[str]:
    return sorted(domain["state"] for domain in ask_scaler(stack, "status")["domains"])


def actions(stack: machine.Stack) -> list[tuple[str, str]]:
    entries = ask_scaler(stack, "decisions?limit=1000")["decisions"]
    return [(one["action"], one["outcome"]) for one in entries if one["type"] == "result"]


@pytest.mark.timeout(600)
def test_standby_guests_wake_serve_and_wait_again(stack_state, virtscale) -> None:
    with machine.running_stack(
        stack_state,
        *("--no-load", "--min", "1", "--max", "3", "--standby-paused", "1", "--standby-saved", "1"),
        *machine.short_scale_in(stack_state),
        command=virtscale,
    ) as stack:
        client = machine.Client(stack)

        def wait_in_both_tiers() -> bool:
            return states(stack) == sorted(["ready", *WAITING.values()])

        machine.wait_for("one serves and two wait", wait_in_both_tiers, within=240)
        client.submit(jobs(24, seed=1, busy_seconds=1.0))
        machine.wait_for(
            "three workers hold leases",
            lambda: sum(worker.leases > 0 for worker in client.workers().values()) == 3,
            within=60,
        )
        assert {("resume", "done"), ("restore", "done")} <= set(actions(stack))
        # In the middle of it all: what the metadata say is what goes on.
        stack.service("scaler").kill()
        machine.wait_for("every job is final", lambda: not client.unfinished(), within=180)
        client.check_every_result()
        machine.wait_for("one serves and two wait again", wait_in_both_tiers, within=240)
        stack.service("scaler").kill()
        client.submit(jobs(12, seed=2, busy_seconds=1.0))
        machine.wait_for("every job is final", lambda: not client.unfinished(), within=180)
        client.check_every_result()
        client.close()
        assert stack.stop() == 0
        assert stack.leftovers() == []
