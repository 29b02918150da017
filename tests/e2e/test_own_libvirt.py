"""`virtscale up --url` on a libvirt with other domains in it, which must not notice."""

import contextlib
import dataclasses
import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import libvirt
import pytest
from virtscale.v1 import job_pb2

from stack import image
from stack.hypervisor import domain_xml, libvirtd, pool
from tests import readme
from tests.e2e import machine, own_libvirt
from tests.free_ports import free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
SECTION = "Use it on your own libvirt"
"""Of the README, whose commands are typed here, for the libvirt of the test."""


def typed(part: str, uri: str) -> list[str]:
    """The words behind `./run` or `./virtscale` of the README's one line with this in it."""
    (line,) = [line for line in readme.commands_under(SECTION) if part in line]
    return shlex.split(line.replace("qemu:///system", uri))[1:]


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


def work_once(stack: machine.Stack, *workers: str) -> None:
    """The workers say Hello, and what they are given is finished."""
    client = machine.Client(stack)
    machine.wait_for(
        f"{workers} say Hello", lambda: set(workers) <= set(client.workers()), within=180
    )
    client.submit(jobs(5))
    machine.wait_for("every job is final", lambda: not client.unfinished(), within=60)
    client.check_every_result()
    client.close()


def test_a_pool_is_defined_for_the_run_and_foreign_domains_do_not_notice(
    own, stack_state, virtscale
) -> None:
    before = own.looks("foreign", "vs-9")
    arguments = (*typed("--define", own.uri), "--max", "2", "--no-load")
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


def test_a_lent_domain_and_a_clone_work_and_the_users_domains_stay_his(
    session_libvirt, stack_state, virtscale
) -> None:
    uri = session_libvirt.uri
    state = ("--state", str(stack_state))
    code, text = machine.run_to_end(virtscale, "image", "build", *state, within=250)
    assert code == 0, text
    port = free_ports(8)
    base = ("--port-base", str(port), "--pool", "web")
    code, text = machine.run_to_end(virtscale, "up", *state, *base, "--url", uri)
    assert code == 1
    assert "--define" in text
    assert f"virtscale pool adopt NAME --pool web --url '{uri}'" in text
    before = [_define(session_libvirt, stack_state, name) for name in ("golden", "my-vm")]
    disks = stack_state / "clones"
    disks.mkdir()
    os.chown(disks, own_libvirt.stack_user().pw_uid, own_libvirt.stack_user().pw_gid)
    reached = (*state, "--dispatcher", f"10.0.2.2:{port + 6}")
    create = (*typed("pool create", uri), "--storage", str(disks))
    for command in ((*typed("pool adopt", uri), "--yes"), create):
        code, text = machine.run_to_end(virtscale, *command, *reached)
        assert code == 0, text
    code, listed = machine.run_to_end(virtscale, *typed("pool list", uri))
    clones = [f"web-{number}" for number in range(1, 5)]
    assert code == 0, listed
    assert all(f" {name} " in listed for name in ("my-vm", *clones))

    refused_code, refused = machine.run_to_end(
        virtscale, "up", *state, *base, "--url", uri, "--define"
    )
    arguments = (*typed("--no-load", uri), "--min", "2")
    with machine.running_stack(stack_state, *arguments, command=virtscale, port_base=port) as stack:
        work_once(stack, "my-vm", "web-1")
        assert stack.stop() == 0
    assert (refused_code, session_libvirt.names()) == (1, ["golden", "my-vm", *clones])
    assert "without --define" in refused
    for command in (("destroy", "web"), ("release", "my-vm")):
        code, text = machine.run_to_end(virtscale, "pool", *command, "--yes", *state, "--url", uri)
        assert code == 0, text
    assert (session_libvirt.names(), list(disks.iterdir())) == (["golden", "my-vm"], [])
    with session_libvirt.connected() as connection:
        domains = [connection.lookupByName(name) for name in ("golden", "my-vm")]
        assert [_without_metadata(domain) for domain in domains] == before
        assert not any(domain.isActive() for domain in domains)


def test_clones_run_whoever_qemu_is_and_go_without_a_trace(own, stack_state, virtscale) -> None:
    before = own.looks("foreign", "vs-9")
    disks = Path(tempfile.mkdtemp(prefix="own-", dir="/var/tmp"))
    disks.chmod(0o711)
    os.chown(disks, own_libvirt.stack_user().pw_uid, own_libvirt.stack_user().pw_gid)
    disk = disks / "golden.raw"
    own.define_template("golden", disk)
    content = disk.read_bytes()
    where = ("--state", str(stack_state), "--url", own.uri)
    user_data = stack_state / "user-data"
    user_data.write_text("#cloud-config\npackages: []\n", encoding="utf-8")
    create = ("pool", "create", "web", "--template", "golden", "--count", "2")
    create += ("--user-data", str(user_data))
    code, text = machine.run_to_end(virtscale, *create, *where)
    assert code == 0, text
    with own.connected() as connection:
        for name in ("web-1", "web-2"):
            connection.lookupByName(name).create()
        assert connection.lookupByName("web-2").isActive()
    files = sorted(path.name for path in disks.iterdir() if path != disk)
    assert files == [
        *("web-1-seed.iso", "web-1-vda.qcow2", "web-2-seed.iso", "web-2-vda.qcow2"),
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in disks.iterdir()} == {0o600}
    destroy = ("pool", "destroy", "web", "--yes", "--force", "--timeout", "0")
    code, text = machine.run_to_end(virtscale, *destroy, *where)
    assert code == 0, text
    assert own.names() == ["foreign", "golden", "vs-9"]
    assert list(disks.iterdir()) == [disk]
    assert disk.read_bytes() == content
    assert own.looks("foreign", "vs-9") == before
    shutil.rmtree(disks)


def _define(own: own_libvirt.OwnLibvirt, state: Path, name: str) -> str:
    """The stack's image for the want of another; `golden` has a disk that it may write to."""
    newest = image.latest(state)
    assert newest is not None
    common = pool.PoolSpec(
        pool="any",
        image=newest,
        kind="tcg",
        dispatcher="nowhere:1",
        logs=libvirtd.guest_logs(state),
        prefix=name,
    )
    (spec,) = pool.domain_specs(common, 1, b"")
    root = ElementTree.fromstring(domain_xml.render(dataclasses.replace(spec, name=name)))
    paths = ["metadata", "sysinfo", "devices/serial"]
    if name == "golden":
        paths += ["devices/disk/readonly", "devices/disk/shareable"]
    for path in paths:
        _remove(root, path)
    with own.connected() as connection:
        domain = connection.defineXML(ElementTree.tostring(root, encoding="unicode"))
        return _without_metadata(domain)


def _remove(root: ElementTree.Element, path: str) -> None:
    above, _, tag = path.rpartition("/")
    parent = root.find(above) if above else root
    assert parent is not None
    child = parent.find(tag)
    assert child is not None
    parent.remove(child)


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
