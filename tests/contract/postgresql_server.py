"""PostgreSQL servers for tests; the server itself is that of the benchmarks."""

import contextlib
from collections.abc import Iterator

from bench.postgresql import PostgresqlServer
from tests.free_ports import free_ports


@contextlib.contextmanager
def running_server() -> Iterator[PostgresqlServer]:
    server = PostgresqlServer(free_ports())
    try:
        server.start()
        yield server
    finally:
        server.remove()
