"""What is said where a stack kept no samples; that they are served is seen end to end."""

import pytest

from servicekit.lifecycle import StartError
from stack import kept_samples
from stack.paths import StateDirectory


def test_without_samples_nothing_is_started_and_nothing_made(tmp_path):
    state = StateDirectory(tmp_path / "state")
    fault = "no Prometheus of a stack ran here"
    with pytest.raises(StartError, match=fault), kept_samples.served(state):
        pass
    assert not state.root.exists()
