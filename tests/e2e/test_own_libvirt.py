"""`virtscale up --url` on a libvirt with other domains in it, which must not notice."""

import contextlib
import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import libvirt
import pytest
from virtscale.v1 import job_pb2

from stack import image, site_secrets
from stack.hypervisor import domain_xml, libvirtd, pool
from stack.paths import StateDirectory
from tests.e2e import machine, own_libvirt
from tests.free_ports import free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def _can_have_own_mounts() -> bool:
    return (
        os.geteuid() == 0
        and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0
    )


@pytest.fixture(params=["session", "system"])
def own(request: pytest.FixtureRequest) -> Iterator[own_libvirt.OwnLibvirt]:
    """The user's libvirtd, with a running domain and one named as the pool would name its own."""
    if request.param == "system" and not _can_have_own_mounts():
        pytest.skip("a system libvirtd of the test's own needs root and its own mounts")
    with getattr(own_libvirt, request.param)() as started:
        started.define_tiny("foreign", is_running=True)
        started.define_tiny("vs-9", is_running=False)
        yield started


@pytest.fixture
def session_libvirt() -> Iterator[own_libvirt.OwnLibvirt]:
    with own_libvirt.session() as started:
        yield started


def jobs(count: int) -> list[job_pb2.JobSpec]:
    return [job_pb2.JobSpec(number=f"KA-47-UT-{9000 + index}") for index in range(count)]


def work_once(stack: machine.Stack, worker: str) -> None:
    """The worker says Hello and finishes what it is given."""
    client = machine.Client(stack)
    machine.wait_for(f"{worker} says Hello", lambda: worker in client.workers(), within=180)
    client.submit(jobs(5))
    machine.wait_for("every job is final", lambda: not client.unfinished(), within=60)
    client.check_every_result()
    client.close()


def test_a_pool_is_defined_for_the_run_and_foreign_domains_do_not_notice(
    own, stack_state, virtscale
) -> None:
    before = own.looks("foreign", "vs-9")
    arguments = ("--url", own.uri, "--define", "--max", "2", "--no-load")
    with machine.running_stack(stack_state, *arguments, command=virtscale) as stack:
        work_once(stack, "vs-1")
        assert own.names() == ["foreign", "vs-1", "vs-2", "vs-9"]
        assert own.looks("foreign", "vs-9") == before
        assert stat.S_IMODE((stack_state / "secrets").stat().st_mode) == 0o700
        root = image.latest(stack_state).root
        assert root.stat().st_uid == own_libvirt.stack_user().pw_uid
        assert stack.stop() == 0
        assert stack.leftovers() == []
    assert own.names() == ["foreign", "vs-9"]
    assert own.looks("foreign", "vs-9") == before


def test_a_domain_of_the_users_is_used_once_it_is_marked_and_stays_his(
    session_libvirt, stack_state, virtscale
) -> None:
    uri = session_libvirt.uri
    state = ("--state", str(stack_state))
    code, text = machine.run_to_end(virtscale, "image", "build", *state, within=250)
    assert code == 0, text
    port = free_ports(8)
    base = ("--port-base", str(port))
    code, text = machine.run_to_end(virtscale, "up", *state, *base, "--url", uri)
    assert code == 1
    assert "--define" in text
    mark = re.search(r"virsh .*", text)
    assert mark, text
    before = _define_users_domain(session_libvirt, stack_state, "mine-1", port)
    subprocess.run(shlex.split(mark[0].replace(" NAME ", " mine-1 ")), check=True, timeout=10)

    refused_code, refused = machine.run_to_end(
        virtscale, "up", *state, *base, "--url", uri, "--define"
    )
    arguments = ("--url", uri, "--max", "1", "--no-load")
    with machine.running_stack(stack_state, *arguments, command=virtscale, port_base=port) as stack:
        work_once(stack, "mine-1")
        assert stack.stop() == 0
    assert (refused_code, session_libvirt.names()) == (1, ["mine-1"])
    assert "'mine-1'" in refused
    assert "without --define" in refused
    with session_libvirt.connected() as connection:
        domain = connection.lookupByName("mine-1")
        assert not domain.isActive()
        assert _without_metadata(domain) == before


def _define_users_domain(own: own_libvirt.OwnLibvirt, state: Path, name: str, port: int) -> str:
    """As in docs/OPERATIONS.md, with the stack's image for the want of another."""
    newest = image.latest(state)
    assert newest is not None
    key = (state / "secrets" / "join.key").read_bytes()
    with own_libvirt.acting_as_stack_user():
        tls = site_secrets.of(StateDirectory(state)).workers([name], time.time())[name]
    common = pool.PoolSpec(
        pool="any",
        image=newest,
        kind="tcg",
        dispatcher=f"10.0.2.2:{port + 6}",
        logs=libvirtd.guest_logs(state),
        prefix=name.removesuffix("-1"),
    )
    secrets = {name: pool.DomainSecrets(tls.credentials())}
    (spec,) = pool.domain_specs(common, 1, key, secrets)
    root = ElementTree.fromstring(domain_xml.render(spec))
    for parent, tag in ((root, "metadata"), (root.find("devices"), "serial")):
        assert parent is not None
        child = parent.find(tag)
        assert child is not None
        parent.remove(child)
    with own.connected() as connection:
        domain = connection.defineXML(ElementTree.tostring(root, encoding="unicode"))
        return _without_metadata(domain)


def _without_metadata(domain: libvirt.virDomain) -> str:
    root = ElementTree.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    metadata = root.find("metadata")
    if metadata is not None:
        root.remove(metadata)
    # Where the element was there is white space of another width.
    return re.sub(r">\s+<", "><", ElementTree.tostring(root, encoding="unicode"))


@contextlib.contextmanager
def closed_socket() -> Iterator[str]:
    """Somebody listens, and only root may connect."""
    directory = Path(tempfile.mkdtemp(prefix="own-"))
    directory.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "s"))
        (directory / "s").chmod(0o700 if os.geteuid() == 0 else 0o000)
        listener.listen()
        yield f"qemu+unix:///system?socket={directory}/s"
    shutil.rmtree(directory)


def test_a_libvirt_that_cannot_be_used_is_named_with_the_fix(stack_state, virtscale) -> None:
    user = own_libvirt.stack_user().pw_name
    with closed_socket() as closed:
        for uri, arguments, words in (
            (closed, ["--define"], ["Permission denied", user, "usermod -aG libvirt"]),
            ("nonsense", ["--define"], ["nonsense", "qemu:///system"]),
            ("qemu+tcp://127.0.0.1:1/system", [], ["Connection refused", "--url"]),
            ("qemu+ssh://192.0.2.1/system", ["--define"], ["192.0.2.1", "leave --define out"]),
        ):
            base = ("--port-base", str(free_ports(8)))
            code, text = machine.run_to_end(
                *(virtscale, "up", "--state", str(stack_state), *base, "--url", uri),
                *arguments,
                within=30,
            )
            assert code in (1, 2), text
            assert text.count("error: ") == 1, text
            for word in words:
                assert word in text
            assert machine.processes_of(stack_state) == []
