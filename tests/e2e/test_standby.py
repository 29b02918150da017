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
@pytest.mark.parametrize(("tier", "wake"), [("paused", "resume"), ("saved", "restore")])
def test_a_standby_guest_wakes_serves_and_waits_again(stack_state, virtscale, tier, wake) -> None:
    with machine.running_stack(
        stack_state,
        *("--no-load", "--min", "1", "--max", "2", f"--standby-{tier}", "1"),
        command=virtscale,
    ) as stack:
        client = machine.Client(stack)
        expected = sorted(["ready", WAITING[tier]])

        def waits() -> bool:
            return states(stack) == expected

        machine.wait_for("one serves and one waits", waits, within=240)
        client.submit(jobs(12, seed=1, busy_seconds=1.0))
        machine.wait_for(
            "two workers hold leases",
            lambda: sum(worker.leases > 0 for worker in client.workers().values()) == 2,
            within=60,
        )
        assert (wake, "done") in actions(stack)
        # In the middle of it all: what the metadata say is what goes on.
        stack.service("scaler").kill()
        machine.wait_for("every job is final", lambda: not client.unfinished(), within=180)
        client.check_every_result()
        machine.wait_for("one serves and one waits again", waits, within=240)
        stack.service("scaler").kill()
        client.submit(jobs(12, seed=2, busy_seconds=1.0))
        machine.wait_for("every job is final", lambda: not client.unfinished(), within=180)
        client.check_every_result()
        client.close()
        assert stack.stop() == 0
        assert stack.leftovers() == []
