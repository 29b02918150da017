"""Backup and restore of the dispatcher's store, done by the dispatcher's own program."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from servicekit.lifecycle import StartError
from stack import service_plan
from stack.paths import StateDirectory


def database(state: StateDirectory) -> Path:
    """Where the stack keeps its jobs and results."""
    return state.of("dispatcher") / "dispatcher.db"


def run(
    state: StateDirectory, *words: str | Path, on_progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Runs the dispatcher's program with these words; returns what it says at the end.

    Raises:
        StartError: it failed; the text is its own.

    """
    command = [sys.executable, "-P", "-m", "dispatcher", "--database", str(database(state))]
    process = subprocess.Popen(
        [*command, "--json", *(str(word) for word in words)],
        env=service_plan.environment(state),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    ended: dict[str, Any] = {}
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "copied":
                on_progress(event["done"], event["total"])
            else:
                ended = event
        faults = process.stderr.read().strip()
    if process.returncode != 0:
        raise StartError(faults.removeprefix("error: ") or f"ended with {process.returncode}")
    return ended
