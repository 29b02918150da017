"""The guest's root: one layout, whatever the release's packages use."""

import os

from stack.image import root


def test_an_old_release_s_directories_move_into_usr(tmp_path):
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib64" / "loader").symlink_to("/lib/x86/loader")
    (tmp_path / "lib" / "x86").mkdir(parents=True)
    (tmp_path / "lib" / "x86" / "loader").write_text("loader")
    (tmp_path / "usr" / "lib" / "x86").mkdir(parents=True)
    (tmp_path / "usr" / "lib" / "x86" / "other").write_text("other")
    root.merge_usr(tmp_path)
    assert os.readlink(tmp_path / "lib") == "usr/lib"
    assert os.readlink(tmp_path / "lib64") == "usr/lib64"
    assert (tmp_path / "usr/lib/x86/loader").read_text() == "loader"
    assert (tmp_path / "lib/x86/other").read_text() == "other"
    assert os.readlink(tmp_path / "usr/lib64/loader") == "/lib/x86/loader"


def test_a_new_release_gets_the_links_that_its_programs_name(tmp_path):
    (tmp_path / "usr" / "lib64").mkdir(parents=True)
    (tmp_path / "usr" / "lib64" / "loader").write_text("loader")
    root.merge_usr(tmp_path)
    assert (tmp_path / "lib64" / "loader").read_text() == "loader"
    root.merge_usr(tmp_path)
    assert os.readlink(tmp_path / "bin") == "usr/bin"
