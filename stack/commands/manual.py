"""What `--help`, the man pages and docs/CLI.md say: one page per command, from the command itself.

A command declares summary and description (`help`), examples (`epilog`) and its options where it
is written; what many share (exit codes, environment, files) is added here. Three renderings of the
same page exist: `help_lines` below, and roff and Markdown in docs/generate_cli.py.
"""

import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from stack.commands import completion

EXITS: Mapping[int, str] = {
    0: "done",
    1: "it failed; the reason and what to do stand on standard error",
    2: "the command line, a file or a configuration cannot be used; each fault is named",
    130: "ended by Ctrl-C",
}
ENVIRONMENT: Mapping[str, str] = {
    "VIRTSCALE_STATE": "the state directory, where --state does not say another",
    "VIRTSCALE_TRACEBACK": "set to 1: a fault of the program itself is shown with its traceback",
    "NO_COLOR": "set to anything: no colours and no other styles",
    "FORCE_COLOR": "set to anything: colours also where the output is no terminal",
    "TERM": "`dumb`: no colours, no bars, no live table",
}
FILES: Mapping[str, str] = {
    "/var/lib/virtscale": "the state directory of root",
    "~/.local/state/virtscale": "that of others ($XDG_STATE_HOME/virtscale where it is set)",
    "STATE/run/endpoints.json": "where the running stack answers",
    "STATE/logs/*.log": "one log per service",
}
Function = TypeVar("Function", bound=Callable[..., Any])
# How typer names the type of an argument; choices such as <in|out> stay.
_TYPE = re.compile(r" <(path|str|int|int range|float|list\[str\])>$")
_PLACE = re.compile(r"\{(\w+)\}")
_SEPARATOR = "   |   "
_WIDTH = 80


@dataclass(frozen=True)
class Page:
    """One command's page. `words` are what is typed, such as `virtscale override floor`."""

    words: str
    summary: str
    description: str
    usage: str
    arguments: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...]
    commands: tuple[tuple[str, str], ...]
    examples: tuple[str, ...]
    exits: Mapping[int, str]
    environment: Mapping[str, str]
    files: Mapping[str, str]


class _Described:
    """What both kinds of command add to typer's own."""

    exits: Mapping[int, str] = {}
    files: Mapping[str, str] = {}
    environment: Mapping[str, str] = {}

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """See the module."""
        formatter.write("\n".join(help_lines(page(ctx))) + "\n")


class Command(_Described, TyperCommand):
    """A command whose values complete, whose faults name the value, and that has a page."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for parameter in self.params:
            completion.attach(parameter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer does; a wrong value is repeated in what is said of it."""
        given = list(args)
        if ctx.resilient_parsing:
            _take_as_typed(self.get_params(ctx))
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if error.param is not None and type(error) is typer.BadParameter:
                found = self.make_parser(ctx).parse_args(given)[0].get(error.param.name)
                error.message = _fault(found, error.message)
            raise


class Group(_Described, TyperGroup):
    """A command that has sub-commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer does."""
        if ctx.resilient_parsing:
            _take_as_typed(self.get_params(ctx))
        return super().parse_args(ctx, args)


class Application(typer.Typer):
    """A group of commands, each with a page."""

    def __init__(self, *, help: str, epilog: str, **more: Any) -> None:
        super().__init__(
            help=help,
            epilog=epilog,
            cls=Group,
            no_args_is_help=True,
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"]},
            **more,
        )

    def command(
        self, name: str | None = None, *, cls: type[TyperCommand] | None = None, **more: Any
    ) -> Callable[[Function], Function]:
        """As typer's, for commands with a page."""
        return super().command(name, cls=cls or Command, **more)


def described(
    *,
    exits: Mapping[int, str] | None = None,
    files: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    base: type[Command] = Command,
) -> type[Command]:
    """A class for a command of which more is to be said than of others.

    An exit code with no text is one that the command does not have.
    """
    facts = {"exits": exits or {}, "files": files or {}, "environment": environment or {}}
    return type("Described", (base,), facts)


def page(ctx: Any) -> Page:
    """The page of a context's command."""
    command = ctx.command
    text = " ".join((command.help or "").split())
    records = [(parameter, parameter.get_help_record(ctx)) for parameter in command.get_params(ctx)]
    shown = [(parameter, record) for parameter, record in records if record is not None]
    names = {name for parameter, _ in shown for name in parameter.opts}
    own = {
        str(parameter.envvar): f"as {parameter.opts[0]}"
        for parameter, _ in shown
        if getattr(parameter, "envvar", None)
    }
    has_state = "--state" in names
    environment = {**command.environment, **own, **ENVIRONMENT}
    if not has_state:
        environment.pop("VIRTSCALE_STATE", None)
    return Page(
        words=ctx.command_path,
        summary=summary(text),
        description=text,
        usage=_PLACE.sub(r"\1", " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])),
        arguments=_records(shown, "argument"),
        options=_records(shown, "option"),
        commands=tuple(
            (name, summary(" ".join((each.help or "").split())))
            for name, each in getattr(command, "commands", {}).items()
        ),
        examples=examples(command.epilog or ""),
        exits={code: text for code, text in {**EXITS, **command.exits}.items() if text},
        environment=environment,
        files={**(FILES if has_state else {}), **command.files},
    )


def summary(text: str) -> str:
    """The first sentence, without its full stop."""
    return re.split(r"\. |\.$|: ", text, maxsplit=1)[0]


def examples(epilog: str) -> tuple[str, ...]:
    """The commands of an epilog such as `Examples:  virtscale up   |   virtscale top`."""
    text = re.sub(r"^Examples?:\s+", "", " ".join(epilog.split(" ")))
    return tuple(line.strip() for line in text.split(_SEPARATOR) if line.strip())


def help_lines(page: Page) -> list[str]:
    """The page for a terminal of the usual width."""
    lines = _folded(f"Usage: {page.usage}", 0)
    lines += ["", *_folded(page.description, 2)]
    for heading, rows in (
        ("Arguments", page.arguments),
        ("Options", page.options),
        ("Commands", page.commands),
    ):
        lines += _table(heading, rows)
    if page.examples:
        lines += ["", "Examples:", *(f"  {line}" for line in page.examples)]
    if not page.commands:
        exits = [(str(code), text) for code, text in sorted(page.exits.items())]
        lines += _table("Exit codes", exits)
        lines += _table("Environment", list(page.environment.items()))
        lines += _table("Files", list(page.files.items()))
    return lines


def _table(heading: str, rows: Any) -> list[str]:
    if not rows:
        return []
    column = min(28, max(len(name) for name, _ in rows) + 4)
    lines = ["", f"{heading}:"]
    for name, text in rows:
        folded = textwrap.wrap(text, _WIDTH - column, break_on_hyphens=False) or [""]
        if len(name) + 4 > column:
            lines.append(f"  {name}")
        else:
            lines.append(f"  {name}".ljust(column) + folded.pop(0))
        lines += [" " * column + part for part in folded]
    return [line.rstrip() for line in lines]


def _folded(text: str, indent: int) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * max(indent, 2),
        break_on_hyphens=False,
        break_long_words=False,
    )


def _records(shown: Any, kind: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (_TYPE.sub("", name), text)
        for parameter, (name, text) in shown
        if parameter.param_type_name == kind
    )


def _take_as_typed(parameters: Any) -> None:
    """For completion: checking values would load a library for longer than Tab may take."""
    for parameter in parameters:
        parameter.process_value = lambda _ctx, value: value


def _fault(given: Any, message: str) -> str:
    """`'abc': must be a number`."""
    told = message.split(",")[0].replace("Input should be", "must be").rstrip(".")
    told = told.replace("a valid number", "a number such as 2.5")
    told = told.replace("a valid integer", "a whole number such as 3")
    return told if given is None else f"{given!r}: {told}"
