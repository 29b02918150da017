"""`virtscale top` in a real terminal, and piped, beside a stack whose parts come and go."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from stack import endpoints
from tests.contract.announced_stack import AnnouncedStack, environment
from tests.contract.pty_terminal import Terminal

TOP = ("-m", "stack", "top", "--interval", "0.2")


@pytest.fixture
def stack():
    with AnnouncedStack() as announced:
        yield announced


def top(stack, *, columns=90, lines=24, **environ):
    return Terminal(TOP, environment(stack.state.root, **environ), columns=columns, lines=lines)


def test_it_fills_the_terminal_and_follows_its_size(stack):
    with top(stack) as terminal:
        terminal.wait_for_text("2 domains: 2 booting  pool default")
        terminal.wait_for_text("current 2, desired 3")
        # Each waited for: of the newest frame only a part may have come.
        terminal.wait_for_text("signals:  cpu 0.50")
        terminal.wait_for_text("dispatcher is away since")
        terminal.wait_for_text("prometheus is away since")
        terminal.wait_for_text("q: leave")
        terminal.resize(40, 10)
        terminal.wait_for("it is narrow", lambda: all(len(line) <= 40 for line in terminal.frame()))
        # What was drawn for the old size may still be under way.
        terminal.wait_for_text("vs-1")
        assert len(terminal.frame()) <= 10
        terminal.resize(200, 50)
        terminal.wait_for("it is wide", lambda: any(len(line) > 90 for line in terminal.frame()))
        terminal.press("q")
        assert terminal.wait() == 0
        assert terminal.is_restored()


def test_keys_select_sort_pause_and_resume(stack):
    with top(stack, columns=120, lines=40) as terminal:
        terminal.wait_for_text("vs-2")
        terminal.press("\x1b[B\x1b[B")
        terminal.wait_for_text("> vs-2")
        # Nothing is recorded in this stack; the scaler's own words say so.
        terminal.wait_for_text("vs-2: ")
        terminal.press("\r")
        terminal.wait_for_text("Enter, Esc: back")
        terminal.press("\x1b")
        terminal.wait_for_text("q: leave")
        terminal.press("s")
        terminal.wait_for_text("sorted by state")
        terminal.press("pn")
        terminal.wait_for_text("nothing was changed")
        assert stack.overrides.active() == ()
        terminal.press("p")
        terminal.wait_for_text("pause scaling until")
        terminal.press("y")
        terminal.wait_for_text("pause, until removed, by")
        (order,) = stack.overrides.active()
        assert order.kind.value == "pause"
        terminal.press("py")
        terminal.wait_for_text("scaling goes on")
        assert stack.overrides.active() == ()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_gives_the_terminal_back(stack, number, code):
    with top(stack) as terminal:
        terminal.wait_for_text("vs-1")
        terminal.process.send_signal(number)
        assert terminal.wait() == code
        assert terminal.is_restored()


def test_in_the_background_the_terminal_is_the_shells(stack):
    with top(stack) as terminal:
        terminal.wait_for_text("vs-1")
        terminal.process.send_signal(signal.SIGTSTP)
        terminal.wait_for("it stands aside", lambda: fields_of(terminal.process.pid)[0] == "T")
        terminal.wait_for("the shell has a terminal", terminal.is_restored)
        terminal.process.send_signal(signal.SIGCONT)
        terminal.wait_for("it is back", lambda: not terminal.is_restored())
        terminal.wait_for_text("vs-1")


def test_the_end_of_the_stack_ends_it_with_a_sentence(stack):
    with top(stack) as terminal:
        terminal.wait_for_text("vs-1")
        endpoints.remove(stack.state)
        terminal.wait_for_text("the stack is stopping")
        stack.end()
        assert terminal.wait() == 0
        assert terminal.is_restored()
        assert f"the stack in {stack.state.root} has ended" in terminal.written


def test_the_next_stack_is_followed_without_asking(stack):
    with top(stack) as terminal:
        terminal.wait_for_text("pool default")
        endpoints.write(stack.state, replace(stack.endpoints, pool="other", started_at=1.0))
        terminal.wait_for_text("0 domains  pool other")


def test_who_leaves_does_not_wait_for_what_hangs(stack):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        endpoints.write(stack.state, replace(stack.endpoints, scaler=address))
        with top(stack) as terminal:
            terminal.wait_for_text("scaler is away since")
            terminal.press("\x1b[B")
            terminal.wait_for_text("asking ...")
            terminal.press("q")
            begin = time.monotonic()
            assert terminal.wait() == 0
            # The scaler would be waited for for ten seconds.
            assert time.monotonic() - begin < 9


def test_a_stack_that_was_killed_is_told_as_a_fault(stack):
    with top(stack) as terminal:
        terminal.wait_for_text("vs-1")
        stack.vanish()
        assert terminal.wait() == 1
        assert terminal.is_restored()
        assert "is gone without an orderly end" in terminal.written


def test_an_unforeseen_fault_gives_the_terminal_back_too(stack):
    with top(stack) as terminal:
        terminal.wait_for_text("vs-1")
        # Nobody foresees a lock that is a link in a circle.
        stack.state.lock.unlink()
        stack.state.lock.symlink_to(stack.state.lock)
        assert terminal.wait() == 1
        assert terminal.is_restored()
        assert "Traceback" not in terminal.written


def test_a_thousand_domains_are_counted_and_quick(tmp_path):
    with AnnouncedStack(domains=1000) as stack, top(stack) as terminal:
        terminal.wait_for_text("1000 domains")
        terminal.wait_for_text("more domains")
        terminal.press("\x1b[F")
        terminal.wait_for_text("> vs-999")
        cpu = cpu_seconds(terminal.process.pid)
        begin = time.monotonic()
        frames = terminal.written.count("\x1b[H")
        terminal.wait_for("ten more frames", lambda: terminal.written.count("\x1b[H") > frames + 10)
        # At five frames a second, with everything asked anew for each; the test driver is part of
        # this process.
        assert cpu_seconds(terminal.process.pid) - cpu < 0.6 * (time.monotonic() - begin) + 0.5


def fields_of(pid):
    """What the kernel says of a process, from its state on."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()


def cpu_seconds(pid):
    fields = fields_of(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_piped_it_is_one_plain_line_per_interval(stack):
    process = subprocess.Popen(
        [sys.executable, *TOP],
        env=environment(stack.state.root),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    process.send_signal(signal.SIGTERM)
    _, faults = process.communicate(timeout=20)
    assert process.returncode == 143
    assert faults == ""
    for line in lines:
        assert line.endswith("\n")
        assert "2 booting | " in line
        assert "dispatcher away since" in line
        assert "\x1b" not in line


def test_once_prints_one_look_without_keys(stack):
    with Terminal(
        ("-m", "stack", "top", "--once"), environment(stack.state.root), columns=60, lines=10
    ) as terminal:
        assert terminal.wait() == 0
        assert "vs-2" in terminal.written
        assert "\x1b[?1049h" not in terminal.written


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_colours_and_movement_can_be_refused(stack, environ):
    with Terminal(
        TOP, {**environment(stack.state.root), **environ}, columns=90, lines=24
    ) as terminal:
        terminal.wait_for("it shows", lambda: "2 booting" in terminal.written)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == 0
        # Moving is no colour.
        assert "\x1b[1m" not in terminal.written
        assert ("\x1b[" in terminal.written) == ("NO_COLOR" in environ)


def test_status_again_and_again(stack):
    process = subprocess.Popen(
        [sys.executable, "-m", "stack", "status", "--watch", "0.2", "--json"],
        env=environment(stack.state.root),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert all(process.stdout.readline().startswith('{"at": ') for _ in range(2))
    stack.end()
    _, faults = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "no stack is running" in faults
