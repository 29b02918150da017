"""Writes docs/CLI.md and docs/man/*.1 from the commands themselves: `python docs/generate_cli.py`.

Help, man pages and reference are renderings of the same pages (`stack/commands/manual.py`), so that
none can say what another does not. `--check` fails when a file is not current.
"""

import argparse
import dataclasses
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "proto")]

import typer  # noqa: E402

from scaler.simulator.__main__ import parser as simulator_parser  # noqa: E402
from stack.__main__ import app  # noqa: E402
from stack.commands.manual import Page, page, summary  # noqa: E402

MARKDOWN = ROOT / "docs" / "CLI.md"
MAN = ROOT / "docs" / "man"

_INTRODUCTION = """# Commands

Written by `python docs/generate_cli.py` from the commands themselves; do not edit. The same pages
are shown by `--help` and, as man pages, by `man -l docs/man/virtscale.1`.

`STATE` is the state directory. Times are in seconds where nothing else is said.
"""

Row = tuple[str, str]


def pages() -> Iterator[Page]:
    """Every command's page, a group before its commands."""
    yield from _pages(typer.main.get_command(app), "virtscale", None)


def _pages(command: Any, name: str, parent: Any) -> Iterator[Page]:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    made = page(context)
    yield _with_simulator(made) if made.words == "virtscale simulate" else made
    for child, each in getattr(command, "commands", {}).items():
        yield from _pages(each, child, context)


def _with_simulator(made: Page) -> Page:
    """The simulator is a program of its own, with another library for its options."""
    options = []
    for action in simulator_parser()._actions:
        shown = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
        text = (action.help or "") % {"default": action.default, "prog": "", "dest": action.dest}
        options.append((", ".join(action.option_strings) + shown, text))
    return dataclasses.replace(made, options=tuple(options))


# Markdown.


def markdown(all_pages: Sequence[Page]) -> str:
    """The reference, one section per command."""
    parts = [_INTRODUCTION]
    shared = _shared(all_pages)
    for each in all_pages:
        level = "##" if each.words.count(" ") < 2 else "###"
        parts.append("\n".join(_section(each, level, shared)))
    parts.append("\n".join(_common(shared)))
    return "\n".join(parts)


def _shared(all_pages: Sequence[Page]) -> dict[str, Mapping[Any, str]]:
    """What is said of every command is said once, at the end."""
    leaves = [each for each in all_pages if not each.commands]
    found = {}
    for field in ("exits", "environment", "files"):
        whole: dict[Any, str] = {}
        for each in leaves:
            for key, text in getattr(each, field).items():
                whole.setdefault(key, text)
        most = len(leaves) // 2
        found[field] = {
            key: text
            for key, text in whole.items()
            if sum(getattr(each, field).get(key) == text for each in leaves) > most
        }
    return found


def _section(each: Page, level: str, shared: Mapping[str, Mapping[Any, str]]) -> Iterator[str]:
    yield f"{level} {each.words}\n"
    yield f"    {each.usage}\n"
    yield _plain(each.description) + "\n"
    yield from _rows("Argument", "Meaning", each.arguments)
    yield from _rows("Option", "Meaning", each.options)
    yield from _rows("Command", "", each.commands)
    if each.examples:
        yield "```console\n" + "\n".join(f"$ {line}" for line in each.examples) + "\n```\n"
    if each.commands:
        return
    for heading, field in (("Exit code", "exits"), ("Variable", "environment"), ("File", "files")):
        own = [
            (str(key), text)
            for key, text in getattr(each, field).items()
            if shared[field].get(key) != text
        ]
        yield from _rows(heading, "Meaning", own)


def _common(shared: Mapping[str, Mapping[Any, str]]) -> Iterator[str]:
    yield "## Exit codes, environment and files of every command\n"
    yield "Where a command above says nothing else.\n"
    for heading, field in (("Exit code", "exits"), ("Variable", "environment"), ("File", "files")):
        rows = sorted((str(key), text) for key, text in shared[field].items())
        yield from _rows(heading, "Meaning", rows)


def _rows(first: str, second: str, rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        return
    yield f"| {first} | {second} |\n|---|---|"
    for name, text in rows:
        yield f"| `{_in_a_cell(name)}` | {_in_a_cell(_plain(text))} |"
    yield ""


def _in_a_cell(text: str) -> str:
    return text.replace("|", "\\|")


def _plain(text: str) -> str:
    """Text in which nothing is markup but what stands in backquotes."""
    return text.replace("<", "&lt;").replace("*", "\\*")


# roff.


def roff(each: Page, version: str) -> str:
    """The page for man(1)."""
    name = each.words.replace(" ", "-")
    lines = [f'.TH "{_escaped(name.upper())}" 1 "" "virtscale {version}" "virtscale"']
    lines += [".SH NAME", f"{_escaped(name)} \\- {_escaped(summary(each.description))}"]
    lines += [".SH SYNOPSIS", f".B {_escaped(each.words)}"]
    lines += [_escaped(each.usage.removeprefix(each.words).strip())]
    lines += [".SH DESCRIPTION", _escaped(each.description)]
    lines += _terms("ARGUMENTS", each.arguments)
    lines += _terms("OPTIONS", each.options)
    lines += _terms("COMMANDS", each.commands)
    if each.examples:
        lines += [".SH EXAMPLES", ".nf", *(_escaped(line) for line in each.examples), ".fi"]
    if not each.commands:
        lines += _terms("EXIT STATUS", [(str(code), text) for code, text in each.exits.items()])
        lines += _terms("ENVIRONMENT", list(each.environment.items()))
        lines += _terms("FILES", list(each.files.items()))
    others = [f"{name}-{child}" for child, _ in each.commands]
    others += [each.words.rpartition(" ")[0].replace(" ", "-")] if " " in each.words else []
    lines += [".SH SEE ALSO", _escaped(", ".join(f"{other}(1)" for other in others))]
    return "\n".join(lines) + "\n"


def _terms(heading: str, rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    lines = [f".SH {heading}"]
    for name, text in rows:
        lines += [".TP", f".B {_escaped(name)}", _escaped(text) or "\\&"]
    return lines


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    text = text.replace("~", "\\(ti").replace("^", "\\(ha").replace('"', "\\(dq")
    return f"\\&{text}" if text.startswith(".") else text


def documents() -> dict[Path, str]:
    """Every generated file with its text."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    found = list(pages())
    made = {MAN / f"{each.words.replace(' ', '-')}.1": roff(each, version) for each in found}
    return {MARKDOWN: markdown(found), **made}


def stale(wanted: Mapping[Path, str]) -> list[Path]:
    """Files that are not as they should be, and man pages of commands that are gone."""
    current: Callable[[Path], str | None] = lambda path: (  # noqa: E731
        path.read_text(encoding="utf-8") if path.exists() else None
    )
    changed = [path for path, text in wanted.items() if current(path) != text]
    return changed + [path for path in sorted(MAN.glob("*.1")) if path not in wanted]


def main() -> int:
    """Writes what is not current, or with `--check` names it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    is_check = parser.parse_args().check
    wanted = documents()
    changed = stale(wanted)
    for path in changed:
        what = "not current" if is_check else "written"
        sys.stdout.write(f"{what}: {path.relative_to(ROOT)}\n")
        if not is_check and path in wanted:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
        elif not is_check:
            path.unlink()
    return 1 if is_check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
