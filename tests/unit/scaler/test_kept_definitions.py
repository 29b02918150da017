from scaler.kept_definitions import KeptDefinitions

TEXT = "<domain><metadata><v:domain pool='p' generation='sha256:ab'/></metadata>{}</domain>"


def test_a_copy_outlives_the_process_and_is_for_its_owner_only(tmp_path):
    KeptDefinitions(tmp_path / "new").keep("vs-1", TEXT.format("ä"))
    again = KeptDefinitions(tmp_path / "new")
    assert again.get("vs-1") == TEXT.format("ä")
    assert again.generation("vs-1") == "sha256:ab"
    (file,) = (tmp_path / "new").iterdir()
    assert file.stat().st_mode & 0o077 == 0


def test_a_newer_copy_replaces_the_older(tmp_path):
    kept = KeptDefinitions(tmp_path)
    kept.keep("a", TEXT.format(""))
    kept.keep("a", TEXT.replace("ab", "cd"))
    assert kept.generation("a") == "sha256:cd"
    assert KeptDefinitions(tmp_path).generation("a") == "sha256:cd"


def test_nothing_is_kept_of_others(tmp_path):
    kept = KeptDefinitions(tmp_path)
    kept.keep("a", TEXT)
    assert kept.get("b") is None
    assert kept.generation("b") == ""


def test_a_definition_without_an_image_has_no_generation():
    kept = KeptDefinitions(None)
    kept.keep("a", "<domain><name>a</name></domain>")
    assert kept.generation("a") == ""


def test_where_the_disk_refuses_the_copy_lasts_as_long_as_the_process(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    kept = KeptDefinitions(blocked / "directory")
    kept.keep("a", TEXT)
    assert kept.get("a") == TEXT


def test_names_that_look_like_paths_stay_inside(tmp_path):
    kept = KeptDefinitions(tmp_path / "kept")
    kept.keep("..", TEXT)
    assert [path.parent for path in tmp_path.rglob("*.xml")] == [tmp_path / "kept"]
