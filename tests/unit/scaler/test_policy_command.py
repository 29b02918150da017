import pytest
import yaml

from scaler.__main__ import main


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "policies.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_check_says_what_is_there(capsys, file):
    path = file("max: 6\npolicies: [{kind: backlog}, {kind: seasonal}]\n")
    assert main(["policy", "check", path]) == 0
    assert capsys.readouterr().out == "policies OK: backlog, seasonal; 1 to 6 domains\n"


def test_check_tells_every_fault(capsys, file):
    assert main(["policy", "check", file("max: 0\nmin: x\n")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_check_against_a_configuration(capsys, file, tmp_path):
    config = tmp_path / "scaler.yaml"
    config.write_text("max: 2\n")
    assert main(["policy", "check", file("min: 3\n"), "--config", str(config)]) == 2
    assert "min = 3 must not exceed max = 2" in capsys.readouterr().err


def test_show_prints_a_policies_file(capsys, file):
    assert main(["policy", "show"]) == 0
    text = capsys.readouterr().out
    assert [one["kind"] for one in yaml.safe_load(text)["policies"]] == ["reference", "backlog"]
    assert main(["policy", "show", file(text)]) == 0
    assert capsys.readouterr().out == text
