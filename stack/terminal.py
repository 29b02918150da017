"""Whether output may be coloured and may move: decided here for every command.

Colours are decided as those of the services' logs: a terminal has them unless TERM is `dumb` or
NO_COLOR is set to anything; FORCE_COLOR gives them to a pipe too. What moves (bars, live tables)
needs a real terminal that is not dumb: nobody wants to find it in a file.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from typing import IO

from rich.console import Console

from servicekit import logs
from stack.live_table import Size

_PIPED_COLUMNS = 10_000
"""A pipe has no width: nothing is folded or cut for it."""


def console(*, error: bool = False) -> Console:
    """Standard output, or standard error, as rich writes to it."""
    stream = sys.stderr if error else sys.stdout
    return console_of(stream)


def console_of(
    stream: IO[str], environ: Mapping[str, str] = os.environ, *, kind: type[Console] = Console
) -> Console:
    """A console, of that class, on a stream."""
    is_there = logs.is_terminal(stream, {})
    return kind(
        file=stream,
        highlight=False,
        # Bold and dim are no colours, but they are control characters all the same.
        color_system="auto" if logs.has_styles(stream, environ) else None,
        width=None if is_there else _PIPED_COLUMNS,
        soft_wrap=True,
    )


def can_move(stream: IO[str], environ: Mapping[str, str] = os.environ) -> bool:
    """True when what is written may be overwritten."""
    return logs.is_terminal(stream, environ)


def size(descriptor: int) -> Size:
    """Of the terminal behind a descriptor; of one of the usual size when it does not tell."""
    try:
        found = os.get_terminal_size(descriptor)
    except OSError:
        found = os.terminal_size((0, 0))
    usual = shutil.get_terminal_size() if 0 in found else found
    return Size(found.columns or usual.columns, found.lines or usual.lines)
