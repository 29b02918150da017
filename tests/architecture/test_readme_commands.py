"""A command in the README is a promise. Each one is typed by a test, named here.

The README's tests read its sections (`tests/readme.py`) and type what stands there.
"""

import re

import pytest
import typer

from tests import readme
from tests.architecture.conftest import ROOT
from tests.markdown_blocks import commands

SCRIPTS = "tests/architecture/test_setup_scripts.py::"
COLLECTOR = "tests/contract/test_collector_process.py::test_the_readme_shows_metrics"
TUTORIAL = "tests/e2e/test_tutorial.py::test_the_tutorial_leads_through"
HOWTO = "tests/contract/test_howto.py::test_the_commands_of_a_page_run"
ALERT = "tests/contract/test_howto.py::test_an_alert_is_sent_by_hand"
CHECK = "tests/contract/test_dashboards.py::"
TERMINALS = (
    "tests/e2e/test_readme.py::test_run_scales_out_and_in_by_itself_while_a_second_terminal_uses_it"
)
OWN_LIBVIRT = "tests/e2e/test_own_libvirt.py::"
# Section of the README -> the tests that read its commands there and type them, all of them.
README = {
    "Try it": (TERMINALS,),
    "Use it on your own numbers": (TERMINALS,),
    "Use it on your own libvirt": (
        OWN_LIBVIRT + "test_a_pool_is_defined_for_the_run_and_foreign_domains_do_not_notice",
        OWN_LIBVIRT + "test_a_lent_domain_and_a_clone_work_and_the_users_domains_stay_his",
    ),
    "In containers": (
        "tests/contract/test_compose.py::test_the_readmes_commands_are_what_the_engines_test_types",
        "tests/e2e/test_containers.py::test_a_guest_hashes_and_killed_containers_come_back",
    ),
    "The collector alone": (COLLECTOR,),
    "Develop": (SCRIPTS + "test_the_readmes_tests_are_those",),
}
# What its running text mentions, as a pattern -> the test that types such a line. Of the million
# jobs it is a minute; of man it is the program by which man shows a page.
IN_PASSING = {
    r"\./virtscale explain --at [\d:]+": TERMINALS,
    r"\./run --report run\.html": TERMINALS,
    r"\./run --help": SCRIPTS + "test_asking_for_help_installs_nothing",
    r"\./test quick": SCRIPTS + "test_the_readmes_tests_are_those",
    r"\./virtscale --install-completion": "tests/contract/test_completion.py::"
    "test_what_the_readme_says_installs_the_script",
    r"python -m scaler --config .+ --check-config": HOWTO,
    r"python -m bench chaos .+": "tests/contract/test_chaos.py::"
    "test_no_job_is_lost_or_done_twice_under_a_minute_of_faults",
    r"man -l docs/man/virtscale\.1": "tests/architecture/test_command_pages.py::"
    "test_man_renders_without_a_warning",
}
# Pattern of a command line of a how-to page -> the test that runs such a line.
COVERED = {
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


def test_every_section_of_the_readme_with_commands_is_typed_by_a_test(sources):
    text = (sources.root / "README.md").read_text(encoding="utf-8")
    shown = {title for title, part in readme.sections(text).items() if list(commands(part))}
    assert shown == set(README), "add a test that types its commands, and a row in README"
    for title, tests in README.items():
        for test_id in tests:
            source = (sources.root / test_id.partition("::")[0]).read_text(encoding="utf-8")
            assert f'"{title}"' in source, f"{test_id} does not read the section"


def test_every_command_in_passing_is_run_by_a_test(sources):
    text = (sources.root / "README.md").read_text(encoding="utf-8")
    found = readme.in_passing(text)
    assert len(found) >= 6
    unknown = [line for line in found if covering(line, IN_PASSING) is None]
    assert not unknown, "add a test that runs it, and a row in IN_PASSING"


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


NAMED = {*COVERED.values(), *IN_HOWTO.values(), *IN_PASSING.values(), TUTORIAL}
NAMED |= {test for tests in README.values() for test in tests}


@pytest.mark.parametrize("test_id", sorted(NAMED))
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
