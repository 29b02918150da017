"""Modules that grpc and protobuf import and this worker never uses: loaded only if touched.

`import grpc` always imports grpc.aio and asyncio, and protobuf always imports its pure-Python
implementation beside upb. That is more than half of the time to the first Hello of a domain. A
stand-in takes their place in `sys.modules`; the first look at any attribute puts the real module
there and behaves like it, so code that does need one works as before, only later.
"""

import sys
from types import ModuleType

UNUSED = (
    "asyncio",
    "grpc.aio",
    "google.protobuf.internal.python_message",
    # cygrpc and logging import these for error paths.
    "inspect",
    "traceback",
)


class _Postponed(ModuleType):
    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            # Only the import system asks for these, on every import statement that names us.
            raise AttributeError(name)
        from importlib import import_module

        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        real = import_module(self.__name__)
        self.__dict__.update(real.__dict__)
        return getattr(real, name)


def postpone(names: tuple[str, ...] = UNUSED) -> None:
    """Put stand-ins for modules that are not loaded yet."""
    for name in names:
        if name not in sys.modules:
            sys.modules[name] = _Postponed(name)
