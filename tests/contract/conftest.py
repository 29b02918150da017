"""What the contract tests of the dispatcher share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.postgresql import PostgresqlServer
from tests.contract.dispatcher_process import DispatcherProcess, Start
from tests.contract.postgresql_server import running_server


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


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """One server for all tests that leave it running; each has a schema of its own."""
    with running_server() as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql: PostgresqlServer) -> str:
    """An empty schema."""
    return postgresql.new_schema()
