"""A command in the README is a promise. Each one is executed by a test, named here."""

import re

import pytest
import typer

SCRIPTS = "tests/architecture/test_setup_scripts.py::"
COLLECTOR = "tests/contract/test_collector_process.py::test_the_readme_shows_metrics"
# Pattern of a command line -> the test that runs it. A new command in the README needs a row.
COVERED = {
    r"git clone .+": SCRIPTS + "test_setup_is_quick_the_second_time",
    r"cd virtscale": SCRIPTS + "test_setup_is_quick_the_second_time",
    r"\./run( .+)?": SCRIPTS + "test_run_hands_its_arguments_to_up",
    r"\./virtscale .+": SCRIPTS + "test_virtscale_takes_any_sub_command",
    r"\.venv/bin/python -m collector .+": COLLECTOR,
    r"curl -s .+/metrics .+": COLLECTOR,
    r"kill %1": COLLECTOR,
    r"\./test( .+)?": SCRIPTS + "test_test_passes_arguments_to_pytest",
}
_BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.M | re.S)


def commands(markdown):
    for block in _BLOCK.findall(markdown):
        joined = block.replace("\\\n", " ")
        for line in joined.splitlines():
            command = line.removeprefix("$ ").split("  #")[0].strip()
            if command and not command.startswith("#"):
                yield command


def test_every_readme_command_is_run_by_a_test(sources):
    found = list(commands((sources.root / "README.md").read_text(encoding="utf-8")))
    assert len(found) >= 4
    unknown = [line for line in found if not any(re.fullmatch(row, line) for row in COVERED)]
    assert not unknown, "add a test that runs it, and a row in COVERED"


@pytest.mark.parametrize("test_id", sorted(set(COVERED.values())))
def test_the_named_test_exists(sources, test_id):
    file, _, name = test_id.partition("::")
    text = (sources.root / file).read_text(encoding="utf-8")
    assert re.search(rf"^(async )?def {name}\(", text, re.M)


def test_reads_commands_from_shell_blocks_only():
    text = "```sh\n# note\n$ ./run --for 2 \\\n  --x  # why\n```\n```json\n{}\n```\n"
    assert list(commands(text)) == ["./run --for 2    --x"]


def option_names(command):
    return {name for parameter in command.params for name in parameter.opts}


@pytest.mark.parametrize("document", ["README.md", "docs/PARITY.md", "CONTRIBUTING.md"])
def test_every_option_shown_exists(sources, document):
    """Renaming an option without its documents is caught here."""
    from stack.__main__ import app

    root = typer.main.get_command(app)
    known = root.commands
    text = (sources.root / document).read_text(encoding="utf-8")
    shown = [*commands(text), *re.findall(r"`(\./(?:run|virtscale)[^`]*)`", text)]
    unknown = []
    for line in shown:
        words = line.split()
        if words[0] not in ("./run", "./virtscale"):
            continue
        name = "up" if words[0] == "./run" else words[1]
        if name.startswith("-"):
            unknown += [] if name in option_names(root) else [line]
        elif name not in known:
            unknown.append(line)
        elif not hasattr(known[name], "commands"):
            options = {word.split("=")[0] for word in words[1:] if word.startswith("--")}
            unknown += sorted(options - option_names(known[name]) - {"--help", "--setup-only"})
    assert not unknown
