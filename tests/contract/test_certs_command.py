"""`virtscale certs` as a user calls it, and a dispatcher that takes what it made."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stack.commands.certs import app

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: object) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=50,
    )
    return done.returncode, done.stdout


@pytest.fixture
def certs(tmp_path: Path):
    def call(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, [*arguments, "--dir", str(tmp_path / "tls")])
        assert done.exit_code == code, done.output
        return done.output

    return call


def test_a_site_in_five_commands(certs, tmp_path: Path) -> None:
    tls = tmp_path / "tls"
    assert "certs init" in certs("show")
    assert "make one with: virtscale certs init" in certs("server", code=1)
    certs("init")
    certs("server", "dispatcher.example.net", "192.0.2.10")
    certs("worker", "vm-1", "vm-2")
    certs("client", "scaler", "--role", "fleet")
    certs("token", "camera", "--role", "submit", "--until", "2090-01-01")
    token = (tls / "camera.token").read_text().strip()
    shown = json.loads(certs("show", "--json"))
    names = {each["name"]: each["names"] for each in shown["certificates"]}
    assert {"virtscale", "dispatcher", "vm-1", "vm-2", "scaler"} == set(names)
    assert {"dispatcher.example.net", "192.0.2.10", "10.0.2.2"} <= set(names["dispatcher"])
    assert shown["tokens"] == [{"name": "camera", "roles": ["submit"], "until": "2090-01-01"}]
    assert token not in certs("show") + (tls / "tokens").read_text()
    for path in tls.rglob("*"):
        if path.suffix in (".key", ".token") or path.name == "tokens":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = {path: path.read_bytes() for path in tls.rglob("*") if path.is_file()}
    for command in (
        ("init",),
        ("server", "192.0.2.10", "dispatcher.example.net"),
        ("worker", "vm-1"),
        ("client", "scaler", "--role", "fleet"),
        ("token", "camera", "--role", "submit"),
    ):
        assert "kept: " in certs(*command)
    assert {path: path.read_bytes() for path in before} == before
    assert "--force replaces it" in certs("server", "other.example.net", code=2)
    certs("server", "other.example.net", "--force")
    xml = certs("worker", "vm-1", "--xml")
    assert xml.count("<entry>io.systemd.credential:virtscale.") == 4
    certs("token", "camera", "--revoke")
    assert not (tls / "camera.token").exists()
    certs("token", "camera", "--revoke", code=2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("server", "http://x"), "give a host name or an IP address"),
        (("server", "host:15051"), "give a host name or an IP address"),
        (("client", "c"), "give one or more of submit, read, fleet, admin"),
        (("token", "c", "--role", "king"), "'king': no such role"),
        (("token", "../c", "--role", "read"), "a name is 1 to 64"),
        (("token", "c", "--role", "read", "--until", "soon"), "must be a day"),
        (("token", "c", "--role", "read", "--until", "2001-01-01"), "is in the past"),
        (("worker", "a\nb"), "printable"),
    ],
)
def test_bad_input_is_named_and_makes_nothing(certs, tmp_path, arguments, words) -> None:
    certs("init")
    before = sorted(tmp_path.rglob("*"))
    assert words in certs(*arguments, code=2)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_dispatcher_checks_what_was_made_and_tells_every_fault(certs, tmp_path: Path) -> None:
    for command in (("init",), ("server",), ("worker", "vm-1"), ("token", "t", "--role", "read")):
        certs(*command)
    tls = tmp_path / "tls"
    config = tmp_path / "dispatcher.yaml"
    files = {"certificate": str(tls / "dispatcher.pem"), "key": str(tls / "dispatcher.key")}
    settings = {
        "listen": "0.0.0.0:15051",
        "listen_workers": "0.0.0.0:15052",
        "tls": files,
        "worker_tls": {**files, "client_ca": str(tls / "ca.pem")},
        "tokens_file": str(tls / "tokens"),
    }
    config.write_text(json.dumps(settings))
    check = ("dispatcher", "--config", config, "--check-config")
    assert run(*check) == (0, "configuration OK\n")
    settings["worker_tls"] = {**files, "key": str(tls / "workers" / "vm-1.key"), "client_ca": "no"}
    (tls / "tokens").write_text("nonsense\n")
    config.write_text(json.dumps(settings))
    code, text = run(*check)
    assert code == 2
    assert "worker_tls.client_ca = no: No such file" in text
    assert "tokens_file = " in text
    settings["worker_tls"]["client_ca"] = str(tls / "ca.pem")
    config.write_text(json.dumps(settings))
    assert "worker_tls.key = " in run(*check)[1]
    assert "is not the key of worker_tls.certificate" in run(*check)[1]
