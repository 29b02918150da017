"""./run, ./virtscale and ./test, on a state directory made to look set up, and their failures."""

import fcntl
import os
import re
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests import readme

ROOT = Path(__file__).resolve().parents[2]


def sourced(script, **environ):
    """Runs bash after `. deploy/setup.sh`; functions defined in it replace the real ones."""
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail; . '{ROOT}/deploy/setup.sh'\n{script}"],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd="/",
    )


@pytest.fixture
def state():
    # Not pytest's own directory: the system user must be able to enter it, as in real life.
    path = Path(tempfile.mkdtemp(prefix="virtscale-setup-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def ready(state):
    """A state directory in which everything is in place, with a stand-in for the command."""
    result = sourced('PYTHON=$(find_python); lock_key stack; source_key; echo "$PYTHON"')
    key, source, python = result.stdout.split()
    venv = state / f"venv-{key}"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(python)
    command = venv / "bin" / "virtscale"
    command.write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    command.chmod(0o755)
    (venv / ".virtscale-stamp").write_text(f"{key}\n")
    (venv / ".virtscale-source").write_text(f"{source}\n")
    (state / "venv").symlink_to(venv.name)
    assert call(state, "run", "--setup-only").returncode == 0
    return state


def call(state, script, *arguments, **environ):
    return subprocess.run(
        [ROOT / script, *arguments],
        env=os.environ | {"VIRTSCALE_STATE": str(state)} | environ,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd="/",
    )


def test_run_hands_its_arguments_to_up(ready):
    result = call(ready, "run", "--for", "120", "--summary", "a file.json")
    assert (result.stdout, result.stderr) == ("<up><--for><120><--summary><a file.json>", "")


def test_virtscale_takes_any_sub_command(ready):
    result = call(ready, "virtscale", "status", "--json")
    assert (result.stdout, result.stderr) == ("<status><--json>", "")


def test_setup_only_starts_nothing(ready):
    result = call(ready, "run", "--setup-only")
    assert result.returncode == 0
    assert result.stdout == ""
    assert "Start it with ./run" in result.stderr


def test_setup_is_quick_the_second_time(ready):
    def cpu_seconds():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = cpu_seconds()
    assert call(ready, "run", "--setup-only").returncode == 0
    # Of CPU time, which is 0.2 s however busy the machine is: a set-up takes twenty.
    assert cpu_seconds() - before < 1.0


def test_state_may_be_given_as_an_option(ready):
    result = call("/nonexistent", "run", f"--state={ready}")
    assert result.stdout == f"<up><--state={ready}>"
    result = call("/nonexistent", "virtscale", "status", "--state", str(ready))
    assert result.stdout == f"<status><--state><{ready}>"


def test_asking_for_help_installs_nothing(state):
    result = call(state, "run", "--help")
    assert result.returncode == 0
    assert "./run --for 120" in result.stdout
    assert not list(state.iterdir())


def test_a_fresh_clone_offers_help(tmp_path, state):
    clone = tmp_path / "virtscale"
    git = ["git", "-c", f"safe.directory={ROOT}", "-c", "safe.directory=*", "clone", "-q"]
    subprocess.run([*git, str(ROOT), str(clone)], check=True)
    # Whatever is set up on this machine: an empty state directory is what a fresh clone finds.
    environ = os.environ | {"VIRTSCALE_STATE": str(state)}
    result = subprocess.run([clone / "run", "--help"], env=environ, capture_output=True, text=True)
    assert "./run --for 120" in result.stdout


def test_test_passes_arguments_to_pytest():
    result = call("/nonexistent", "test", "--collect-only", "-q", "tests/unit/servicekit")
    lines = result.stdout.splitlines()
    assert any("test_clock.py" in line for line in lines)
    assert lines[-1].startswith("./test --collect-only -q tests/unit/servicekit: passed in")


def test_the_readmes_tests_are_those(tmp_path):
    """Typed in a clone whose environment has stand-ins that say how they are called."""
    clone = tmp_path / "virtscale"
    git = ["git", "-c", "safe.directory=*", "clone", "-q", str(ROOT), str(clone)]
    subprocess.run(git, check=True)
    result = sourced('PYTHON=$(find_python); echo "$PYTHON"; lock_key dev')
    python, key = result.stdout.split()
    programs = clone / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(python)
    (clone / ".venv" / ".virtscale-stamp").write_text(f"{key}\n")
    for name in ("pytest", "ruff", "mypy", "lint-imports", "buf", "promtool"):
        (programs / name).write_text(f'#!/bin/sh\necho "<{name} $*>"\n')
        (programs / name).chmod(0o755)
    told = []
    for line in readme.commands_under("Develop"):
        done = subprocess.run(
            ["bash", "-c", line], cwd=clone, capture_output=True, text=True, timeout=50
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{line}: passed in" in done.stdout
        assert "mypy --strict                ok" in done.stdout
        told.append([one for one in done.stdout.splitlines() if one.startswith("<pytest")])
    (quick,), (side_by_side, guests) = told
    assert "-m quick" in quick
    assert side_by_side.endswith("-m not e2e>")
    assert guests == "<pytest -m e2e tests/e2e>"


def test_test_says_what_failed():
    result = call("/nonexistent", "test", "tests/no_such_test.py")
    assert result.returncode == 1
    assert "FAILED" in result.stdout.splitlines()[-1]


def test_a_running_stack_keeps_its_version(ready):
    (ready / "venv" / ".virtscale-source").write_text("an older one\n")
    (ready / "run").mkdir()
    with (ready / "run" / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = call(ready, "virtscale", "status")
        assert result.stdout == "<status>"
        assert "a stack is running" in result.stderr
        only = call(ready, "run", "--setup-only")
        assert only.returncode == 1
        assert "virtscale down" in only.stderr


def test_an_interrupted_set_up_is_not_mistaken_for_a_finished_one(state):
    script = f"""
        PYTHON=true; LOG={state}/setup.log
        trap_interruptions
        pip_in() {{ mkdir {state}/venv-1; kill -INT $$; }}
        build_venv {state}/venv-1 stack key1
    """
    result = sourced(script)
    assert result.returncode != 0, result.stderr
    assert (state / "venv-1").is_dir()
    assert not (state / "venv-1" / ".virtscale-stamp").exists()
    assert sourced(f"stamp_of {state}/venv-1").stdout == ""


def test_a_step_that_is_a_function_can_be_interrupted(state):
    """Whoever presses Ctrl-C reads what that means, and the step's ticker ends."""
    result = sourced(
        f"LOG={state}/log; trap_interruptions\n"
        "install() { kill -INT $$; }\n"
        'step "Installing things" install'
    )
    assert result.returncode == 130
    assert "Run the same command again" in result.stderr


@pytest.mark.parametrize(
    ("output", "what"),
    [
        ("Temporary failure resolving 'mirror'", "no network"),
        ("Failed to establish a new connection: [Errno 111] Connection refused", "no network"),
        ("Could not resolve 'mirror'", "no network"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("E: You don't have enough free space in /var/cache/apt/archives/.", "the disk is full"),
        ("E: Unable to locate package prometheus", "does not offer a package"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM", "not the file that the lock names"),
        ("E: Could not get lock /var/lib/dpkg/lock-frontend", "another package manager"),
        ("something nobody foresaw", "exit code 9"),
    ],
)
def test_a_failing_step_tells_cause_and_fix(state, output, what):
    result = sourced(
        f'LOG={state}/log; printf "== before\\nNo space left on device\\n" >$LOG\n'
        'step "Installing things" bash -c \'echo "$OUTPUT"; exit 9\'',
        OUTPUT=output,
    )
    assert result.returncode == 1
    (told,) = re.findall("^error: Installing things: (.*)", result.stderr, re.M)
    assert what in told
    assert "  fix: " in result.stderr
    assert ("the disk is full" in result.stderr) == (what == "the disk is full")


def test_the_machine_must_be_one_that_the_image_is_made_for():
    result = sourced("uname() { [ $1 = -s ] && echo Linux || echo aarch64; }; check_machine")
    assert result.returncode == 1
    assert "unsupported machine: Linux/aarch64" in result.stderr


def test_without_apt_the_missing_things_are_listed():
    result = sourced(
        "is_debian() { return 1; }; find_python() { return 1; }; PATH=/nonexistent; check_commands"
    )
    assert result.returncode == 1
    assert "Python 3.11 or newer" in result.stderr
    assert "prometheus" in result.stderr


def test_without_sudo_the_command_for_root_is_shown(state):
    result = sourced(
        f"LOG={state}/log; NOTES={state}; id() {{ echo 1000; }}\n"
        "command() { return 1; }\ninstall_packages gcc qemu-utils"
    )
    assert result.returncode == 1
    assert "will be installed: gcc, qemu-utils" in result.stderr
    assert "as root run: apt-get install --no-install-recommends gcc qemu-utils" in result.stderr


def test_too_little_space_is_told_before_anything_is_done():
    result = sourced('df() { printf "h\\n/dev/x 9 9 7 9%% /\\n"; }; check_free_space /usr')
    assert result.returncode == 1
    assert "only 7 MB are free" in result.stderr


def test_a_state_directory_that_cannot_be_written_is_named():
    result = call("/proc/virtscale", "run", "--setup-only")
    assert result.returncode == 1
    assert "cannot write to /proc/virtscale" in result.stderr
    assert "--state DIR" in result.stderr


def test_daemons_that_came_with_the_set_up_are_turned_off_even_after_an_interruption(state):
    result = sourced(
        f"LOG={state}/log; NOTES={state}; turn_off() {{ echo off $1; }}\n"
        "remember_new_daemons gcc prometheus; cat $NOTES/new-daemons; quiet_new_daemons"
    )
    assert result.stdout.split() == ["prometheus"]
    assert not (state / "new-daemons").exists()


@pytest.mark.parametrize(
    ("version", "found", "expected"),
    [
        ("22.04", "return 1", "python3.11 python3.11-venv python3.11-dev"),
        ("24.04", "echo /usr/bin/python3", "python3 python3-venv python3-dev"),
        ("12", "echo /usr/bin/python3.12", "python3.12 python3.12-venv python3.12-dev"),
    ],
)
def test_a_python_new_enough_is_chosen(version, found, expected):
    result = sourced(f"VERSION_ID={version}; find_python() {{ {found}; }}; python_packages")
    assert result.stdout.split() == expected.split()


def test_packages_of_the_tests_alone_are_installed_where_the_distribution_has_them():
    ask = "dpkg-query() { :; }; apt-cache() { [ $2 = $KNOWN ]; }; missing_test_packages"
    assert sourced(f"KNOWN=victoria-metrics; {ask}").stdout.split() == ["victoria-metrics"]
    unknown = sourced(f"KNOWN=other; {ask}")
    assert (unknown.returncode, unknown.stdout) == (0, "")
    needed = sourced("needed_packages").stdout.split()
    assert not {"victoria-metrics", "chromium"} & set(needed)
    assert "zstd" in needed


@pytest.mark.parametrize("line", (ROOT / "deploy" / "debian-packages").read_text().splitlines()[1:])
def test_every_package_has_a_reason(line):
    name, _, reason = line.partition(" ")
    assert name == name.lower()
    assert reason.strip()
