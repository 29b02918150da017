import pytest

from scaler.__main__ import main


def test_checks_a_configuration_and_connects_nowhere(capsys, tmp_path):
    file = tmp_path / "scaler.yaml"
    file.write_text("pool: web\nmax: 7\n")
    assert main(["--config", str(file), "--check-config"]) == 0
    assert capsys.readouterr().out == "configuration OK\n"


def test_all_faults_are_told_at_once(capsys, tmp_path):
    file = tmp_path / "scaler.yaml"
    file.write_text("pool: 'a b'\nmaximum: 7\n")
    assert main(["--config", str(file), "--check-config", "--min", "-1"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert all(line.startswith(f"error: {file}: ") for line in errors)


def test_a_wrong_flag_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--wrong"])
    assert caught.value.code == 2


def test_tls_files_are_checked(capsys, tmp_path):
    file = tmp_path / "scaler.yaml"
    file.write_text("dispatcher_tls: {client_ca: /nowhere/ca.pem}\n")
    assert main(["--config", str(file), "--check-config"]) == 2
    assert "/nowhere/ca.pem" in capsys.readouterr().err
