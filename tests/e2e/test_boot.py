"""Real guests from a really built image, under a private libvirtd; no dispatcher is needed."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import libvirt
import pytest

from stack import image, privilege
from stack.hypervisor import libvirtd, pool
from tests.e2e import machine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

BOOT_SECONDS = 30.0


def wait_for(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


@pytest.fixture
def user() -> pwd.struct_passwd:
    """Who runs the daemon and the guests: never root."""
    return privilege.account() if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


@pytest.fixture
def state(user: pwd.struct_passwd) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="vs-", dir="/var/tmp"))
    directory.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(directory, user.pw_uid, user.pw_gid)
    yield directory
    with acting_as(user):
        libvirtd.cleanup(directory)
    shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def acting_as(user: pwd.struct_passwd) -> Iterator[None]:
    with privilege.acting_as(user) if os.geteuid() == 0 else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def daemon(state: Path, user: pwd.struct_passwd) -> Iterator[subprocess.Popen[bytes]]:
    with acting_as(user):
        libvirtd.write_config(state)
        command, environment = libvirtd.libvirtd_command(state)
    log = (state / "libvirtd.log").open("ab")
    identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        **(identity if os.geteuid() == 0 else {}),
    )
    log.close()
    try:
        wait_for(
            lambda: libvirtd.probe(libvirtd.uri(state)) is None, seconds=30, what="libvirtd answers"
        )
        yield process
    finally:
        process.terminate()
        process.wait(15)


def test_two_domains_share_an_image_boot_and_switch_off(
    installation: Path, virtscale: list[str], state: Path, user: pwd.struct_passwd
) -> None:
    libvirt.registerErrorHandler(lambda *_: None, None)
    # The installation's own, which later tests boot from, too.
    build = ("image", "build", "--state", str(installation))
    code, text = machine.run_to_end(virtscale, *build, within=250)
    assert code == 0, text
    built = image.latest(installation)
    assert built is not None
    assert built.size_bytes <= 250_000_000
    assert built.build_seconds <= 120
    common = pool.PoolSpec(
        pool="default",
        image=built,
        kind="tcg",
        dispatcher="10.0.2.2:9",
        logs=libvirtd.guest_logs(state),
    )

    def console(name: str) -> str:
        return (libvirtd.guest_logs(state) / f"{name}.log").read_text(errors="replace")

    with daemon(state, user) as process:
        connection = libvirt.open(libvirtd.uri(state))
        with acting_as(user):
            pool.define_pool(connection, pool.domain_specs(common, 2, b"key"))
        domains = [connection.lookupByName(name) for name in ("vs-1", "vs-2")]
        for domain in domains:
            domain.create()
        for name in ("vs-1", "vs-2"):
            wait_for(
                lambda name=name: "worker.started" in console(name),
                seconds=BOOT_SECONDS,
                what=f"the worker of {name} starts",
            )
        press_until_off(domains[0])
        assert domains[0].state() == [
            libvirt.VIR_DOMAIN_SHUTOFF,
            libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN,
        ]
        assert domains[1].isActive()
        assert "worker.leaving" in console("vs-1")
        assert pool.join_token(b"key", "vs-1") not in console("vs-1")
        connection.close()
        process.kill()
        process.wait()
    # The other guest outlives its killed libvirtd, as after a crash; cleaning up ends it.
    with acting_as(user):
        assert libvirtd.cleanup(state) == ["vs-2"]
        assert libvirtd.cleanup(state) == []


def press_until_off(domain: libvirt.virDomain) -> None:
    """A press while the guest still loads its button driver is lost, so it is repeated."""
    for _ in range(6):
        with contextlib.suppress(libvirt.libvirtError):
            domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if not domain.isActive():
                return
            time.sleep(0.05)
    raise AssertionError("the guest did not switch off")
