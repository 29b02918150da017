"""What a dispatcher that scrubs its memory starts again with."""

from dispatcher import scrubbing


def test_it_starts_again_once_and_keeps_what_was_set():
    before = {"HOME": "/home/x", "GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}
    made = scrubbing.environment(before)
    assert made is not None
    assert made["HOME"] == "/home/x"
    assert made["GLIBC_TUNABLES"].startswith("glibc.malloc.arena_max=2:glibc.malloc.perturb=")
    assert made["PYTHONMALLOC"] == "malloc"
    assert scrubbing.environment(made) is None


def test_nothing_needs_to_be_set_before():
    made = scrubbing.environment({})
    assert made is not None
    assert not made["GLIBC_TUNABLES"].startswith(":")
