"""What the contract tests of the dispatcher share."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.dispatcher_process import DispatcherProcess, Start


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts dispatchers with these settings; they end with the test."""
    made: list[DispatcherProcess] = []

    def begin(**settings: Any) -> DispatcherProcess:
        process = DispatcherProcess(tmp_path, **settings)
        made.append(process)
        process.start()
        return process

    yield begin
    for process in made:
        await process.close()
