"""Every command, piped: no control characters, no traceback; nonsense is answered."""

import pytest
import typer

from stack.__main__ import app
from tests.contract import every_command
from tests.contract.announced_stack import AnnouncedStack, environment

# Each command as somebody may type it, where a stack runs whose dispatcher is away. `{dir}` is a
# directory of the test's own.
TYPED = {
    "up": "--min 3 --max 1",
    "down": "--state {dir}/nothing",
    "status": "",
    "top": "--once",
    "submit": "{dir}/none.csv",
    "verify": "KA-47-UT-9173 a:b",
    "watch": "",
    "export": "-",
    "failed": "",
    "explain": "",
    "backup": "{dir}/jobs.backup",
    "restore": "{dir}/none.backup",
    "simulate": "--shape steady --length 60 --job-seconds 1",
    "replay": "",
    "report": "--out {dir}/report.html",
    "adopt": "--url test:///default",
    "image build": "--state /proc/none",
    "image show": "",
    "image boot": "--state {dir}/state",
    "certs init": "--dir {dir}/tls",
    "certs server": "--dir {dir}/tls",
    "certs worker": "vs-1 --dir {dir}/tls",
    "certs client": "scaler --role fleet --dir {dir}/tls",
    "certs token": "camera --role submit --dir {dir}/tls",
    "certs show": "--dir {dir}/tls",
    "pepper show": "",
    "pepper rotate": "--state {dir}/state",
    "policy show": "",
    "policy check": "{dir}/none.yaml",
    "policy reload": "",
    "pool adopt": "none --url test:///default --yes",
    "pool release": "none --url test:///default --yes",
    "pool create": "web --template none --count 1 --url test:///default",
    "pool destroy": "web --url test:///default --yes",
    "pool list": "--url test:///default",
    "override list": "",
    "override pause": "--for 90s",
    "override resume": "",
    "override hold": "2",
    "override floor": "1",
    "override ceiling": "3",
    "override block": "in",
    "override dry-run": "on",
    "override drain": "vs-1",
    "override release": "vs-1",
    "override remove": "none",
}
COLOURS = ({}, {"NO_COLOR": "1"})


def commands(command, words=()):
    children = getattr(command, "commands", None)
    if not children:
        yield " ".join(words)
        return
    for name, child in children.items():
        yield from commands(child, (*words, name))


ALL = sorted(commands(typer.main.get_command(app)))


@pytest.fixture(scope="module")
def stack():
    with AnnouncedStack() as announced:
        yield announced


def call(stack, lines, tmp_path, colours=({},)):
    shared = environment(stack.state.root, TERM="xterm-256color")
    calls = [(line.format(dir=tmp_path).split(), environ) for line in lines for environ in colours]
    return list(zip(calls, every_command.run(calls, shared), strict=True))


def check(answers):
    for (words, colours), answer in answers:
        shown = f"{words} {colours}: {answer}"
        assert "\x1b" not in answer["text"], shown
        assert "\r" not in answer["text"], shown
        assert "Traceback" not in answer["text"], shown
        assert "a fault of virtscale itself" not in answer["text"], shown


def test_every_command_is_typed_here():
    assert sorted(TYPED) == ALL, "say in TYPED how the new command is typed"


@pytest.mark.timeout(200)
def test_no_control_characters_reach_a_pipe(stack, tmp_path):
    lines = [f"{name} {arguments}".strip() for name, arguments in TYPED.items()]
    answers = call(stack, lines, tmp_path, COLOURS)
    check(answers)
    said = {" ".join(words): answer for (words, colours), answer in answers if not colours}
    assert "vs-2" in said["status"]["text"]
    assert "vs-2" in said["top --once"]["text"] or "2 booting" in said["top --once"]["text"]
    assert "floor 1" in said["override floor 1"]["text"]
    assert all(answer["text"] or answer["code"] == 0 for answer in said.values())


def test_help_of_every_command_is_plain_and_whole(stack, tmp_path):
    answers = call(stack, [f"{name} --help" for name in ALL], tmp_path)
    check(answers)
    for (words, _), answer in answers:
        assert answer["code"] == 0, words
        text = answer["text"].lower()
        for part in ("usage: virtscale", "options:", "examples:", "exit codes:"):
            assert part in text, (words, part)


NONSENSE = {
    "stauts": "Did you mean 'status'?",
    "override flor 2": "Did you mean 'floor'?",
    "top --intervall 2": "--interval",
    "top --interval abc": "'--interval': 'abc': must be a number such as 2.5",
    "top --interval 0": "'--interval': '0': must be greater than or equal to 0.2",
    "top --interval nan": "'--interval'",
    "top extra": "(extra)",
    "status --watch abc": "'--watch': 'abc'",
    "override floor x": "'N': 'x': must be a whole number such as 3",
    "override block up": "'up'",
    "override floor 1 --for soon": "must be a time above 0 such as 90s",
    "certs server --days 0": "'--days': '0'",
    "export out.xml --format xml": "choose csv or jsonl",
    "up --load huge": "load",
    "override": "Commands:",
    "explain --at yesterdayish": "at =",
}


def test_nonsense_is_answered_with_what_would_do(stack, tmp_path):
    answers = call(stack, NONSENSE, tmp_path)
    check(answers)
    for ((words, _), answer), expected in zip(answers, NONSENSE.values(), strict=True):
        assert answer["code"] == 2, (words, answer)
        assert expected in answer["text"], (words, answer["text"])
