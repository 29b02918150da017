"""The collector as operators run it: command line, systemd's sockets, hosts of every kind."""

import contextlib
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.parse

import libvirt
import pytest
import trustme
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests import readme
from tests.contract.collector_process import ROOT, CollectorProcess
from tests.contract.hypervisor_libvirtd import PrivateLibvirtd
from tests.free_ports import free_ports

ANYWHERE = ("--web.listen-address", "127.0.0.1:0")


@pytest.fixture
def start(tmp_path):
    made = []

    def begin(*arguments, **options):
        made.append(CollectorProcess(tmp_path, *arguments, **options))
        return made[-1]

    yield begin
    for one in made:
        one.close()


class RemoteLibvirtd(PrivateLibvirtd):
    """A libvirtd that is also reached by TLS, with certificates of its own."""

    def __init__(self):
        self.port = free_ports()
        super().__init__(self._prepare)
        self.pki = self.root / "pki"
        self.tls_uri = f"qemu+tls://localhost:{self.port}/session?pkipath={self.pki}"

    def _prepare(self, root):
        pki, authority = root / "pki", trustme.CA()
        pki.mkdir()
        authority.cert_pem.write_to_path(pki / "cacert.pem")
        for name, host in (("server", "localhost"), ("client", "collector.example")):
            made = authority.issue_cert(host)
            made.cert_chain_pems[0].write_to_path(pki / f"{name}cert.pem")
            made.private_key_pem.write_to_path(pki / f"{name}key.pem")
        for file in pki.iterdir():
            file.chmod(0o644)
        (root / "libvirtd.conf").write_text(
            f'listen_tls = 1\nlisten_tcp = 0\nlisten_addr = "127.0.0.1"\ntls_port = "{self.port}"\n'
            f'auth_tls = "none"\nkey_file = "{pki}/serverkey.pem"\n'
            f'cert_file = "{pki}/servercert.pem"\nca_file = "{pki}/cacert.pem"\n'
        )
        return ("--listen", "--config", str(root / "libvirtd.conf"))


@pytest.fixture(scope="module")
def remote():
    made = RemoteLibvirtd()
    with contextlib.closing(libvirt.open(made.uri)) as connection:
        connection.defineXML(
            "<domain type='qemu'><name>quiet</name><memory unit='MiB'>64</memory>"
            "<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"
        )
    yield made
    made.close()


def test_the_help_tells_everything():
    shown = subprocess.run(
        [sys.executable, "-m", "collector", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"COLUMNS": "100"},
    ).stdout
    for words in (
        "--collector.state",
        "--web.config.file",
        "/probe?target=",
        "exit codes",
        "collect[]",
    ):
        assert words in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_serves_and_ends_in_order(start, tmp_path):
    notices = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(notices))
        systemd.settimeout(20)
        one = start(*ANYWHERE, "--url", "test:///default", environ={"NOTIFY_SOCKET": str(notices)})
        assert systemd.recv(100) == b"READY=1"
        body = one.get("/metrics", Accept="application/openmetrics-text;version=1.0.0")
        assert "\nlibvirt_up 1" in body
        assert "process_cpu_seconds_total" in body
        assert body.endswith("# EOF\n")
        names = {family.name for family in text_string_to_metric_families(body)}
        assert {"libvirt_up", "process_cpu_seconds", "virtscale_collector_web_refused"} <= names
        assert one.get("/-/ready") == "ready\n"
        assert one.stop() == 0
        assert systemd.recv(100) == b"STOPPING=1"
    assert one.events()[-1] == "collector.stopped"


def test_it_ends_without_the_interpreters_end(start):
    """libvirt would call back into what is no more, for calls that are still in flight."""
    process = start("--libvirt.uri", "test:///default", *ANYWHERE, environ={"PYTHONVERBOSE": "1"})
    process.get("/metrics")
    assert process.stop() == 0
    log = process.log.read_text()
    assert "collector.stopped" in log
    assert "# cleanup[" not in log


def test_takes_over_the_sockets_of_systemd(start):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.fileno()
        # What systemd does: the sockets from descriptor 3 on, and a note for this process only.
        script = f"exec 3<&{number}; LISTEN_PID=$$ LISTEN_FDS=1; export LISTEN_PID LISTEN_FDS; "
        one = start(
            "--web.systemd-socket",
            *("--url", "test:///default"),
            before=["bash", "-c", script + 'exec "$@"', "bash"],
            descriptors=[number],
        )
        host, port = listener.getsockname()
        assert one.addresses == [f"{host}:{port}"]
        assert "libvirt_up 1" in one.get("/metrics")


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "systemd has handed over no socket"),
        ({"LISTEN_PID": "1", "LISTEN_FDS": "1"}, "systemd has handed over no socket"),
    ],
)
def test_without_a_socket_of_systemd_it_does_not_start(environ, words):
    ended = subprocess.run(
        [sys.executable, "-m", "collector", "--web.systemd-socket", "--url", "test:///default"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environ,
    )
    assert ended.returncode == 1
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def probe(collector, target, **parameters):
    query = urllib.parse.urlencode({"target": target, **parameters})
    return collector.get(f"/probe?{query}")


def refused(collector, target):
    with pytest.raises(urllib.error.HTTPError) as caught:
        probe(collector, target)
    with caught.value as error:
        return error.code, error.read().decode()


def test_reads_hosts_by_socket_tls_and_ssh_in_one_process(start, remote, tmp_path):
    # By ssh libvirt runs its helper on the other host; here that is this one.
    ssh = tmp_path / "ssh"
    user = "setpriv --reuid 65534 --regid 65534 --clear-groups" if os.geteuid() == 0 else ""
    ssh.write_text(
        f"#!/bin/sh\nexport XDG_RUNTIME_DIR={remote.root}/run\n"
        f'while [ "$1" != -- ]; do shift; done\nshift 2\nexec {user} sh -c "$*"\n'
    )
    ssh.chmod(0o755)
    by_ssh = f"qemu+ssh://blue.example/session?proxy=native&command={ssh}"
    one = start(
        *ANYWHERE,
        *("--libvirt.uri", f"socket={remote.uri}"),
        *("--libvirt.uri", f"tls={remote.tls_uri}"),
        *("--libvirt.uri", f"ssh={by_ssh}"),
        *("--libvirt.uri", f"gone=qemu+tls://localhost:{free_ports()}/session"),
        *("--probe.allow", "test:///.*"),
    )
    # A daemon that has just started asks every QEMU it finds first, which may take seconds.
    one.until("/metrics", "^libvirt_domains 1")
    for name in ("socket", "tls", "ssh"):
        body = one.until(f"/probe?target={name}", "^libvirt_domains 1")
        assert "process_" not in body
    assert "libvirt_up 0" in probe(one, "gone")
    assert "libvirt_up 1" in probe(one, "test:///default")
    assert refused(one, remote.tls_uri)[0] == 404
    assert refused(one, "nobody")[0] == 404
    assert refused(one, "test:///default?command=/bin/sh")[0] == 404


def test_a_libvirt_that_is_not_there_is_told_and_waited_for(start, tmp_path):
    one = start(*ANYWHERE, "--url", f"qemu+unix:///session?socket={tmp_path}/none")
    body = one.get("/metrics")
    assert "libvirt_up 0" in body
    with pytest.raises(urllib.error.HTTPError) as caught:
        one.get("/-/ready")
    with caught.value as error:
        assert error.code == 503
        assert "not ready: libvirt at qemu+unix" in error.read().decode()
    assert one.get("/-/healthy") == "healthy\n"


def test_a_refused_certificate_is_down_and_no_crash(start, remote, tmp_path):
    strangers = tmp_path / "pki"
    strangers.mkdir()
    other = trustme.CA()
    other.cert_pem.write_to_path(strangers / "cacert.pem")
    made = other.issue_cert("collector.example")
    made.cert_chain_pems[0].write_to_path(strangers / "clientcert.pem")
    made.private_key_pem.write_to_path(strangers / "clientkey.pem")
    uri = f"qemu+tls://localhost:{remote.port}/session?pkipath={strangers}"
    one = start(*ANYWHERE, "--url", uri)
    assert "libvirt_up 0" in one.get("/metrics")
    assert one.stop() == 0


def test_a_port_in_use_is_a_sentence(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "collector", "--web.listen-address", f"127.0.0.1:{port}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use" in ended.stderr
    assert "--web.listen-address" in ended.stderr


def test_the_readme_shows_metrics():
    """Its own words, with another port and the interpreter that runs this."""
    words = "\n".join(readme.commands_under("The collector alone")) + "\n"
    assert ":9177" in words
    words = words.replace(":9177", f":{free_ports()}").replace(".venv/bin/python", sys.executable)
    done = subprocess.run(
        ["bash", "-mc", f"{words}wait"], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert 'libvirt_domain_info_state{domain="test"' in done.stdout, done.stderr
