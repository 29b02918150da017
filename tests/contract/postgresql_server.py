"""PostgreSQL servers for tests; the server itself is that of the benchmarks."""

import contextlib
from collections.abc import Iterator

import pytest

from bench.postgresql import PostgresqlServer, program
from tests.free_ports import free_ports


@contextlib.contextmanager
def running_server() -> Iterator[PostgresqlServer]:
    try:
        program("initdb")
    except SystemExit as error:
        pytest.skip(f"NOT PROVEN HERE: the store in PostgreSQL ({error})")
    # The machine's disk and memory are others', too.
    small = "shared_buffers = 32MB\nmax_wal_size = 128MB"
    server = PostgresqlServer(free_ports(), settings=small)
    try:
        server.start()
        yield server
    finally:
        server.remove()
