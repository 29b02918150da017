"""A command in the README is a promise. Each one is executed by a test, named here."""

import re

import pytest
import typer

from tests.architecture.conftest import ROOT
from tests.markdown_blocks import commands

SCRIPTS = "tests/architecture/test_setup_scripts.py::"
COLLECTOR = "tests/contract/test_collector_process.py::test_the_readme_shows_metrics"
TUTORIAL = "tests/e2e/test_tutorial.py::test_the_tutorial_leads_through"
HOWTO = "tests/contract/test_howto.py::test_the_commands_of_a_page_run"
ALERT = "tests/contract/test_howto.py::test_an_alert_is_sent_by_hand"
CHECK = "tests/contract/test_dashboards.py::"
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
# The first row that fits counts; what none fits is looked for in COVERED.
IN_HOWTO = {
    r"\./virtscale (certs|policy check) .+": HOWTO,
    r"\.venv/bin/python -m (scaler|dispatcher|collector) .+ --check-config": HOWTO,
    r"(promtool|amtool) .+": HOWTO,
    r"(python3 -c|install -d|cp) .+": HOWTO,
    r"virsh .+ metadata .+": HOWTO,
    r"curl .+/api/v1/alerts": ALERT,
    r"\.venv/bin/python -m grafana\.check .+": CHECK
    + "test_the_check_tells_values_that_are_not_of_the_panels_unit",
}


def covering(command, *tables):
    """The test that runs a command; None when there is none."""
    rows = (row for table in tables for row in table.items())
    return next((test for pattern, test in rows if re.fullmatch(pattern, command)), None)


def howto_pages(root):
    return sorted((root / "docs" / "howto").glob("*.md"))


def test_every_readme_command_is_run_by_a_test(sources):
    found = list(commands((sources.root / "README.md").read_text(encoding="utf-8")))
    assert len(found) >= 4
    unknown = [line for line in found if covering(line, COVERED) is None]
    assert not unknown, "add a test that runs it, and a row in COVERED"


def test_every_command_of_a_howto_page_is_run_by_a_test(sources):
    pages = howto_pages(sources.root)
    assert len(pages) >= 8
    unknown = [
        f"{page.name}: {line}"
        for page in pages
        for line in commands(page.read_text(encoding="utf-8"))
        if covering(line, IN_HOWTO, COVERED) is None
    ]
    assert not unknown, "add a test that runs it, and a row in IN_HOWTO"


@pytest.mark.parametrize("test_id", sorted({*COVERED.values(), *IN_HOWTO.values(), TUTORIAL}))
def test_the_named_test_exists(sources, test_id):
    file, _, name = test_id.partition("::")
    text = (sources.root / file).read_text(encoding="utf-8")
    assert re.search(rf"^(async )?def {name}\(", text, re.M)


def test_reads_commands_from_shell_blocks_only():
    text = "```sh\n# note\n$ ./run --for 2 \\\n  --x  # why\n```\n```json\n{}\n```\n"
    assert list(commands(text)) == ["./run --for 2    --x"]
    text = "```sh\ncat > a <<'END'\nin: it\nEND\n./test\n```\n"
    assert list(commands(text)) == ["cat > a <<'END'", "./test"]


def option_names(command):
    return {name for parameter in command.params for name in parameter.opts}


DOCUMENTS = ["README.md", "docs/PARITY.md", "CONTRIBUTING.md", "docs/TUTORIAL.md"]
DOCUMENTS += ["docs/OPERATIONS.md", "docs/SCALING.md", "deploy/guest/README.md"]
DOCUMENTS += [f"docs/howto/{page.name}" for page in howto_pages(ROOT)]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_option_shown_exists(sources, document):
    """Renaming an option without its documents is caught here."""
    from scaler.simulator.__main__ import parser as simulator_parser
    from stack.__main__ import app

    root = typer.main.get_command(app)
    text = (sources.root / document).read_text(encoding="utf-8")
    shown = [*commands(text), *re.findall(r"`(\./(?:run|virtscale)[^`]*)`", text)]
    unknown = []
    for line in shown:
        words = line.split()
        if words[0] not in ("./run", "./virtscale") or words == ["./virtscale"]:
            continue
        command, rest = root, ["up", *words[1:]] if words[0] == "./run" else words[1:]
        while rest and rest[0] in getattr(command, "commands", {}):
            command, rest = command.commands[rest[0]], rest[1:]
        if hasattr(command, "commands") and not (rest and rest[0].startswith("-")):
            unknown.append(line)
        options = {word.split("=")[0] for word in rest if word.startswith("--")}
        known = option_names(command) | {"--help", "--setup-only"}
        if command.name == "simulate":  # a program of its own
            known = set(simulator_parser()._option_string_actions)
        unknown += [f"{line}: {option}" for option in sorted(options - known)]
    assert not unknown
