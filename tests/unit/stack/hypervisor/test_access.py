"""The way to the image for QEMU's own user, on real directories with modes."""

import os
import stat
from pathlib import Path

import pytest

from stack.hypervisor import access
from stack.hypervisor.errors import HypervisorError

SOMEBODY = (os.geteuid() + 4242, os.getegid() + 4242)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory above the state directory that everybody may enter, and all above it."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.geteuid() and directory != Path("/"):
            directory.chmod(stat.S_IMODE(directory.stat().st_mode) | 0o001)
    return tmp_path


@pytest.fixture
def state(home: Path) -> Path:
    state = home / "state"
    for name in ("image", "logs", "secrets"):
        (state / name).mkdir(parents=True)
    (state / "image" / "kernel").write_text("")
    for path, mode in ((state / "image" / "kernel", 0o600), (state, 0o750)):
        path.chmod(mode)
    for name in ("image", "logs", "secrets"):
        (state / name).chmod(0o700)
    return state


def open_to(user: tuple[int, int], state: Path) -> None:
    access.open_to(user, files=[state / "image" / "kernel"], directory=state / "logs", state=state)


def modes(state: Path) -> dict[str, int]:
    names = (".", "image", "image/kernel", "logs", "secrets")
    return {name: stat.S_IMODE((state / name).stat().st_mode) for name in names}


def test_the_way_to_the_image_opens_and_the_secrets_stay_closed(state: Path) -> None:
    open_to(SOMEBODY, state)

    assert modes(state) == {
        ".": 0o751,
        "image": 0o701,
        "image/kernel": 0o604,
        "logs": 0o701,
        "secrets": 0o700,
    }


def test_for_ones_own_user_nothing_changes(state: Path) -> None:
    before = modes(state)

    open_to((os.geteuid(), os.getegid()), state)

    assert modes(state) == before


def test_a_closed_directory_above_is_named_and_left_closed(home: Path, state: Path) -> None:
    home.chmod(0o700)

    with pytest.raises(HypervisorError, match="setfacl -m u:") as refused:
        open_to(SOMEBODY, state)

    assert f"may not enter {home};" in str(refused.value)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
