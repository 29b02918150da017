import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from servicekit.lifecycle import StartError
from stack import privilege

ROOT = Path(__file__).resolve().parents[3]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def nobody():
    return pwd.getpwnam("nobody")


def as_root(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: what is dropped there stays dropped."""
    return subprocess.run(
        [sys.executable, "-c", f"import os, pwd\nfrom stack import privilege\n{code}"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}", **environ},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )


def test_a_directory_that_belongs_to_somebody_else_is_not_taken(tmp_path):
    other = pwd.struct_passwd(("other", "x", os.getuid() + 1, 1, "", "/", "/bin/sh"))
    with pytest.raises(StartError, match=rf"chown -R other: {tmp_path}"):
        privilege.own(tmp_path, other)


def test_a_directory_of_the_user_s_is_left_as_it_is(tmp_path):
    mine = pwd.getpwuid(os.getuid())
    tmp_path.chmod(0o700)
    privilege.own(tmp_path, mine)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@needs_root
def test_a_new_directory_is_given_to_the_user(tmp_path, nobody):
    path = tmp_path / "a" / "b"
    privilege.own(path, nobody)
    assert path.stat().st_uid == nobody.pw_uid


@pytest.fixture
def anybodys():
    """A directory that every user may reach; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="virtscale-") as name:
        os.chmod(name, 0o777)
        yield Path(name)


@needs_root
def test_for_a_while_files_are_made_as_the_user(anybodys, nobody):
    code = (
        "user = pwd.getpwnam('nobody')\n"
        "groups = os.getgroups()\n"
        "with privilege.acting_as(user):\n"
        "    assert (os.geteuid(), os.getegid()) == (user.pw_uid, user.pw_gid)\n"
        f"    print(os.stat(os.open({str(anybodys / 'x')!r}, os.O_CREAT | os.O_WRONLY)).st_uid)\n"
        "assert (os.geteuid(), os.getegid(), os.getgroups()) == (0, 0, groups)\n"
    )
    assert as_root(code).stdout.strip() == str(nobody.pw_uid)


@needs_root
def test_dropping_is_for_good_and_takes_root_s_environment_along():
    code = (
        "from pathlib import Path\n"
        "user = pwd.getpwnam('nobody')\n"
        "privilege.drop(user, home=Path('/tmp'))\n"
        "assert os.getresuid() == (user.pw_uid,) * 3\n"
        "assert os.getresgid() == (user.pw_gid,) * 3\n"
        "assert 0 not in os.getgroups()\n"
        "print(os.environ['HOME'], os.environ['USER'], 'SUDO_USER' in os.environ,\n"
        "      'XDG_RUNTIME_DIR' in os.environ)\n"
        "try:\n"
        "    os.setuid(0)\n"
        "except PermissionError:\n"
        "    print('for good')\n"
    )
    result = as_root(code, SUDO_USER="ann", XDG_RUNTIME_DIR="/run/user/0")
    assert result.stdout.split("\n")[:2] == ["/tmp nobody False False", "for good"]


@needs_root
def test_a_current_directory_that_only_root_may_enter_is_left(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    code = (
        "from pathlib import Path\n"
        f"os.chdir({str(closed)!r})\n"
        "privilege.drop(pwd.getpwnam('nobody'), home=Path('/tmp'))\n"
        "print(os.getcwd())\n"
    )
    assert as_root(code).stdout.strip() == "/tmp"
