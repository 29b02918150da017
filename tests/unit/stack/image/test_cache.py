from pathlib import Path

from stack import image
from stack.image import sources
from stack.image.values import Image


def made(state: Path, generation: str, *, built_at: float, key: str = "k") -> Image:
    directory = state / "image" / generation
    directory.mkdir(parents=True)
    for name in ("kernel", "initramfs", "root.ext4"):
        (directory / name).write_bytes(b"x")
    made = Image(
        directory=directory,
        generation=generation,
        kernel_arguments="quiet",
        kernel_release="6.1",
        python="3.11",
        packages=("a_1_amd64.deb",),
        recipe_key=key,
        built_at=built_at,
        build_seconds=1.0,
    )
    made.write()
    return made


def test_a_fitting_image_is_used_without_building(tmp_path: Path) -> None:
    key = sources.find().key()
    made(tmp_path, "old", built_at=1, key=key)
    newest = made(tmp_path, "new", built_at=2, key=key)
    made(tmp_path, "other", built_at=3)

    assert image.build(tmp_path, refresh=False) == newest


def test_a_directory_without_manifest_or_file_is_no_image(tmp_path: Path) -> None:
    whole = made(tmp_path, "whole", built_at=1)
    damaged = made(tmp_path, "damaged", built_at=2)
    damaged.root.unlink()
    (tmp_path / "image" / ".building-1").mkdir()

    assert image.latest(tmp_path) == whole


def test_pruning_keeps_the_newest_and_those_in_use(tmp_path: Path) -> None:
    made(tmp_path, "unused", built_at=1)
    made(tmp_path, "used", built_at=2)
    made(tmp_path, "newest", built_at=3)

    assert image.prune(tmp_path, keep={"used"}) == ["unused"]
    assert sorted(path.name for path in (tmp_path / "image").iterdir()) == ["newest", "used"]


def test_no_image_is_none(tmp_path: Path) -> None:
    assert image.latest(tmp_path) is None
