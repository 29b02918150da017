"""Freed memory overwritten at once, so that no number outlives its job in it.

Python, protobuf and gRPC free what held a number without overwriting it, and the bytes stay until
something else needs the place. glibc can overwrite on free; it reads that wish when a process
starts, so the dispatcher starts itself once more with it.
"""

import os
from collections.abc import Mapping

from servicekit.config import ConfigError

_PERTURB = "glibc.malloc.perturb=165"
# What waits in a thread's own cache is not overwritten by glibc 2.36.
_TUNABLES = f"{_PERTURB}:glibc.malloc.tcache_count=0"
_LIBRARY = "CS_GNU_LIBC_VERSION"


def environment(environ: Mapping[str, str]) -> dict[str, str] | None:
    """The environment to start again with; None when this process has it already.

    Raises:
        ConfigError: this is not glibc.

    """
    if _PERTURB in environ.get("GLIBC_TUNABLES", ""):
        return None
    if _LIBRARY not in os.confstr_names or not os.confstr(_LIBRARY):
        raise ConfigError(["scrub_memory = True: needs glibc, this system has another C library"])
    return {
        **environ,
        "GLIBC_TUNABLES": ":".join(
            part for part in (environ.get("GLIBC_TUNABLES", ""), _TUNABLES) if part
        ),
        # Python's own allocator would keep small objects out of glibc's sight.
        "PYTHONMALLOC": "malloc",
    }
