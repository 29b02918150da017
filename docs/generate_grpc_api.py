"""Writes docs/GRPC_API.md from the contract: `python docs/generate_grpc_api.py`.

The files in proto/virtscale/v1 are read as text, because descriptors hold no comments. `--check`
fails when the page is not current.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from docs import page_file  # noqa: E402

TARGET = ROOT / "docs" / "GRPC_API.md"
FOLDER = ROOT / "proto" / "virtscale" / "v1"
FILES = ("license", "job", "fleet", "worker")

_INTRODUCTION = """# gRPC API

Written by `python docs/generate_grpc_api.py` from the comments in `proto/virtscale/v1/`; do not
edit. How to use it, with errors and retries, is in [API.md](API.md). `stream` says that there may
be any number of messages in that direction. Field numbers never change their meaning.
"""
_BEGIN = re.compile(r"(service|message|enum) (\w+) \{(\})?")
_RPC = re.compile(r"rpc (\w+)\((stream )?([\w.]+)\) returns \((stream )?([\w.]+)\)")
_FIELD = re.compile(r"((?:repeated|optional) )?([\w.<>, ]+?) (\w+) = (\d+)[^;]*;")
_VALUE = re.compile(r"(\w+) = (\d+)[^;]*;")
_ONEOF = re.compile(r"oneof (\w+) \{")


class Row(NamedTuple):
    """A call, a field or a value."""

    name: str
    form: str
    text: str


class Section(NamedTuple):
    """A service, a message or an enum."""

    kind: str
    name: str
    text: str
    rows: tuple[Row, ...]


def read(text: str) -> tuple[str, list[Section]]:
    """What a file says of itself, and its services, messages and enums in order."""
    comment: list[str] = []
    about = ""
    open_names: list[tuple[str, str, str, list[Row]]] = []
    found: list[Section] = []
    depth = 0  # of blocks within the innermost section: oneofs and options of calls
    choice = ""
    for line in (line.strip() for line in text.splitlines()):
        if line.startswith("//"):
            comment.append(line.removeprefix("//").strip())
            continue
        said = _paragraphs(comment)
        if line.startswith("syntax"):
            about = said
        elif match := _BEGIN.match(line):
            open_names.append((match[1], _nested(open_names, match[2]), said, []))
            if match[3]:
                found.append(_section(open_names.pop()))
        elif open_names and (match := _ONEOF.match(line)):
            depth, choice = depth + 1, match[1]
        elif open_names and line.startswith("}"):
            if depth:
                depth, choice = depth - 1, ""
            else:
                found.append(_section(open_names.pop()))
        elif open_names and (row := _row(open_names[-1][0], line, said, choice)):
            open_names[-1][3].append(row)
            depth += line.endswith("{")
        comment = []
    return about, found


def _nested(outer: list[tuple[str, str, str, list[Row]]], name: str) -> str:
    return f"{outer[-1][1]}.{name}" if outer else name


def _section(parts: tuple[str, str, str, list[Row]]) -> Section:
    kind, name, text, rows = parts
    return Section(kind, name, text, tuple(rows))


def _row(kind: str, line: str, said: str, choice: str) -> Row | None:
    if kind == "service" and (match := _RPC.match(line)):
        form = f"{match[2] or ''}{match[3]} → {match[4] or ''}{match[5]}"
        return Row(match[1], form, said)
    if kind == "message" and (match := _FIELD.match(line)):
        one = f", one of `{choice}`" if choice else ""
        return Row(match[3], f"{match[1] or ''}{match[2]} = {match[4]}{one}", said)
    if kind == "enum" and (match := _VALUE.match(line)):
        return Row(match[1], match[2], said)
    return None


def _paragraphs(lines: list[str]) -> str:
    return "\n\n".join(
        " ".join(part.split()) for part in "\n".join(lines).split("\n\n") if part.strip()
    )


def document() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for name in FILES:
        about, sections = read((FOLDER / f"{name}.proto").read_text(encoding="utf-8"))
        parts.append(f"## {name}.proto\n\n{about}\n")
        order = sorted(sections, key=lambda one: ("service", "message", "enum").index(one.kind))
        parts += ["\n".join(_shown(one)) for one in order]
    return "\n".join(parts)


def _shown(section: Section) -> Iterator[str]:
    yield f"### {section.kind} {section.name}\n"
    if section.text:
        yield _plain(section.text) + "\n"
    if section.rows:
        heading = {"service": "Call", "message": "Field", "enum": "Value"}[section.kind]
        form = {"service": "Request → answer", "message": "Type = number", "enum": "Number"}
        yield f"| {heading} | {form[section.kind]} | Meaning |\n|---|---|---|"
        for row in section.rows:
            text = _plain(row.text).replace("\n\n", " ").replace("|", "\\|")
            yield f"| `{row.name}` | {_plain(row.form)} | {text} |"
        yield ""


def _plain(text: str) -> str:
    parts = text.split("`")
    parts[::2] = [one.replace("<", "&lt;").replace("*", "\\*") for one in parts[::2]]
    return "`".join(parts)


if __name__ == "__main__":
    sys.exit(page_file.main(__doc__, TARGET, document))
