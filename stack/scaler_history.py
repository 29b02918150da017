"""What a scaler recorded, asked through its own command: it knows its records and rules."""

import subprocess
import sys
from collections.abc import Sequence

from servicekit.lifecycle import StartError
from stack import service_plan
from stack.paths import StateDirectory

_SECONDS = 600.0


def has_run(state: StateDirectory) -> bool:
    """True when a scaler has recorded something in this state directory."""
    return (state.of("scaler") / "decisions.db").exists()


def run(state: StateDirectory, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs `python -m scaler` on what the stack's scaler recorded.

    Raises:
        StartError: it does not answer.

    """
    command = [sys.executable, "-P", "-m", "scaler", *arguments]
    command += ["--state-dir", str(state.of("scaler"))]
    # Gone with the end of a run; then the scaler's own defaults stand in for its rules.
    config = state.configs / "scaler.yaml"
    if config.exists():
        command += ["--config", str(config)]
    try:
        return subprocess.run(
            command,
            env=service_plan.environment(state),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StartError(
            f"no answer in {_SECONDS:.0f} s; ask for a shorter stretch of time"
        ) from None
