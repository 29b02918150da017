"""A monitor of a stack that runs, for commands that look at it from outside."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from virtscale.client.asynchronous import AsyncClient
from virtscale.client.retries import RetryPolicy

from servicekit.clock import SystemClock
from servicekit.tls import TokenFile
from stack.domains import LibvirtDomains
from stack.endpoints import Endpoints
from stack.monitor import Monitor

_ONCE = RetryPolicy(deadline_seconds=0.0, attempt_seconds=3.0)


@contextlib.asynccontextmanager
async def of(found: Endpoints) -> AsyncIterator[Monitor]:
    """Gives the monitor; its connections end with the block."""
    domains = LibvirtDomains(found.uri, pool=found.pool)
    try:
        token = TokenFile(Path(found.token_file)).read
        async with AsyncClient(found.dispatcher, token=token, retry=_ONCE) as client:
            yield Monitor(
                dispatcher=client,
                domains=domains,
                scaler=found.scaler,
                prometheus=found.prometheus,
                pool=found.pool,
                clock=SystemClock(),
            )
    finally:
        domains.close()
