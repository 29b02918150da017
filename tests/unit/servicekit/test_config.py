from pathlib import Path

import pytest
from pydantic import Field, SecretStr, model_validator

from servicekit.config import (
    ConfigError,
    Contradiction,
    ContradictionError,
    Settings,
    check,
    load,
)


class Tls(Settings):
    key: Path | None = None


class Listener(Settings):
    port: int = Field(default=9000, ge=1, le=65535)
    """Where it listens."""
    token: SecretStr | None = Field(default=None, min_length=8)
    """Never shown."""
    labels: tuple[str, ...] = ()
    """Texts."""
    tls: Tls = Tls()
    """Files."""


def loaded(path=None, environ=None, **flags):
    return load(Listener, path=path, environ=environ or {}, prefix="X_", flags=flags)


def faults(path=None, environ=None, **flags):
    with pytest.raises(ConfigError) as caught:
        loaded(path, environ, **flags)
    return caught.value.faults


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "service.yaml"
        path.write_text(text)
        return path

    return write


def test_defaults_hold_when_nothing_is_given():
    assert loaded().port == 9000


def test_flags_win_over_the_environment_and_that_over_the_file(written):
    path = written("port: 1001\n")
    assert loaded(path).port == 1001
    assert loaded(path, {"X_PORT": "1002"}).port == 1002
    assert loaded(path, {"X_PORT": "1002"}, port=1003).port == 1003


def test_a_flag_that_was_not_given_overrides_nothing(written):
    assert loaded(written("port: 1001\n"), port=None).port == 1001


def test_an_empty_file_is_a_file_without_settings(written):
    assert loaded(written("# nothing\n")).port == 9000


def test_all_faults_are_reported_at_once(written):
    found = faults(written("port: 0\nprot: 1\ntls: {kee: a}\n"))
    assert len(found) == 3
    assert any("port = 0" in fault and "greater than or equal to 1" in fault for fault in found)
    assert any("unknown key 'prot'; known keys: labels, port, tls, token" in f for f in found)
    assert any("unknown key 'tls.kee'" in fault for fault in found)


class Bounds(Settings):
    low: int = 1
    high: int = 4
    name: str = "x"

    @model_validator(mode="after")
    def _check(self) -> "Bounds":
        found = []
        if self.low > self.high:
            found.append(Contradiction(("low", "high"), f"low = {self.low} is above high"))
        if self.low == 9 and self.name == "nine":
            found.append(Contradiction(("low", "name"), "nine is not said twice"))
        if found:
            raise ContradictionError(found)
        return self


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"low": 9, "high": 3}, ["low = 9 is above high"]),
        ({"low": 9, "high": 3, "name": "nine"}, ["low = 9 is above high", "nine is not said"]),
        ({"low": 9, "high": 3, "name": 7}, ["name = 7", "low = 9 is above high"]),
        ({"low": 9, "high": 3, "nam": 7}, ["unknown key 'nam'", "low = 9 is above high"]),
        # The default that would stand in for a wrong value is nothing that somebody wrote.
        ({"low": 9, "high": "x"}, ["high = 'x'"]),
    ],
)
def test_contradictions_are_told_with_the_other_faults(values, told):
    with pytest.raises(ConfigError) as caught:
        check(Bounds, values, source="s")
    assert len(caught.value.faults) == len(told)
    for fault, text in zip(caught.value.faults, told, strict=True):
        assert fault.startswith(f"s: {text}")


def test_every_key_that_stands_twice_is_told(written):
    path = written("port: 1\ntls: {key: a, key: b}\nlabels: &a [x]\nport: 2\ntoken: *a\n")
    assert faults(path) == [
        f"{path}: 'key' stands twice, again at line 2; keep one",
        f"{path}: 'port' stands twice, again at line 4; keep one",
    ]


def test_an_alias_that_leads_back_to_itself_is_no_endless_walk(written):
    assert len(faults(written("labels: &a [*a]\n"))) == 1


def test_a_truth_is_no_number(written):
    (fault,) = faults(written("port: yes\n"))
    assert "port = 'true'" in fault


def test_faults_speak_of_what_is_written_not_of_python(written):
    found = faults(written("labels: one\ntls: 7\n"))
    assert [fault.partition(": ")[2] for fault in found] == [
        "labels = 'one': must be a list",
        "tls = 7: must be a group of `key: value` lines",
    ]


def test_each_fault_names_the_file(written):
    path = written("port: many\n")
    assert faults(path) == [
        f"{path}: port = 'many': input should be a valid integer, "
        "unable to parse string as an integer"
    ]


def test_secrets_never_reach_an_error():
    (fault,) = faults(environ={"X_TOKEN": "hunter2"})
    assert "hunter2" not in fault
    assert "token = (secret)" in fault


def test_a_secret_written_as_a_structure_stays_hidden(written):
    found = faults(written("token: {value: hunter2hunter2}\n"))
    assert not any("hunter2" in fault for fault in found)


def test_a_huge_value_is_cut():
    (fault,) = faults(environ={"X_PORT": "9" * 5000 + "x"})
    assert len(fault) < 300


def test_values_cannot_be_changed_after_loading():
    with pytest.raises(ValueError, match="frozen"):
        loaded().port = 1


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("- a\n- b\n", "must hold `key: value` lines, holds a list"),
        ("just text\n", "must hold `key: value` lines, holds a single text"),
        ("port: [1\n", "not valid YAML at line"),
        ("port: \x07\n", "not valid YAML"),
    ],
)
def test_a_file_that_holds_no_settings_is_a_fault(written, content, fault):
    path = written(content)
    (found,) = faults(path)
    assert found.startswith(f"{path}: ")
    assert fault in found


def test_a_missing_file_is_a_fault(tmp_path):
    (found,) = faults(tmp_path / "absent.yaml")
    assert "no such file" in found
    assert "--config" in found


def test_a_file_that_is_no_text_is_a_fault(tmp_path):
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00port")
    (found,) = faults(path)
    assert "cannot be read" in found


def test_a_directory_is_a_fault(tmp_path):
    (found,) = faults(tmp_path)
    assert "cannot be read" in found


def test_check_names_its_source():
    with pytest.raises(ConfigError, match=r"^flags: port"):
        check(Listener, {"port": -1}, source="flags")


def test_a_list_in_the_environment_is_written_as_yaml():
    assert loaded(environ={"X_LABELS": "[a, b]"}).labels == ("a", "b")


def test_a_nested_secret_never_reaches_an_error():
    class Outer(Settings):
        listener: Listener = Listener()

    with pytest.raises(ConfigError) as caught:
        check(Outer, {"listener": {"token": "hunter2"}}, source="file")
    assert "hunter2" not in str(caught.value)
