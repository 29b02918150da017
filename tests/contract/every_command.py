"""Runs many command lines of `virtscale`, piped, in one process that has loaded it once.

As a program: JSON on standard input, a list of `{"words": [...], "environ": {...}}`; JSON on
standard output, a list of `{"code": ..., "text": ...}`. A fork each, so that none sees what another
did.
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any


def run(
    calls: Sequence[tuple[Sequence[str], Mapping[str, str]]], environ: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Code and text of each call, standard output and error together."""
    asked = [{"words": list(words), "environ": dict(more)} for words, more in calls]
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.every_command"],
        input=json.dumps(asked),
        env=dict(environ),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def _one(words: list[str], environ: dict[str, str]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as output:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            _become(words, environ, reader, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            output.write(stream.read())
        _, status = os.waitpid(child, 0)
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    return {"code": os.waitstatus_to_exitcode(status), "text": text}


def _become(words: list[str], environ: dict[str, str], reader: int, writer: int) -> None:
    from stack.__main__ import main

    os.close(reader)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(writer, 1)
    os.dup2(writer, 2)
    os.environ.update(environ)
    sys.argv = ["virtscale", *words]
    code = 70
    try:
        code = main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _load() -> None:
    """What commands load when they need it, once for all."""
    for name in _LOADED:
        importlib.import_module(name)


_LOADED = (
    "stack.__main__",
    "stack.certificates",
    "stack.commands.options",
    "stack.export_file",
    "stack.guests",
    "stack.policies",
    "stack.progress",
    "stack.site_secrets",
    "stack.top_session",
    "stack.up_entry",
    "typer._adapters",
)

if __name__ == "__main__":
    _load()
    json.dump([_one(**call) for call in json.load(sys.stdin)], sys.stdout)
