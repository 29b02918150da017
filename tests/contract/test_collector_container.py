"""The container of the collector, as `deploy/container/try` builds it.

Building takes minutes and the network, so the image must be there; without it this is skipped.
"""

import os
import shutil
import subprocess
import uuid

import pytest

from tests.contract.hypervisor_libvirtd import PrivateLibvirtd, until
from tests.free_ports import free_ports

ENGINE = os.environ.get("VIRTSCALE_CONTAINER_ENGINE", "docker").split()
IMAGE = os.environ.get("VIRTSCALE_COLLECTOR_IMAGE", "virtscale-collector:0.1.0")


def engine(*arguments):
    done = subprocess.run([*ENGINE, *arguments], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def image():
    if shutil.which(ENGINE[0]) is None:
        pytest.skip(f"THE CONTAINER IS NOT TRIED: {ENGINE[0]} is not installed")
    if subprocess.run([*ENGINE, "image", "inspect", IMAGE], capture_output=True).returncode != 0:
        pytest.skip(
            f"THE CONTAINER IS NOT TRIED: {ENGINE[0]} has no image {IMAGE} or its daemon does not "
            "run; deploy/container/try builds and tries it"
        )
    return IMAGE


@pytest.fixture
def libvirtd():
    daemon = PrivateLibvirtd()
    yield daemon
    daemon.close()


def let_everybody_in(daemon):
    """As a system's libvirt-sock-ro; a session's own socket is for its user alone."""
    folder = daemon.root / "run/libvirt"
    folder.chmod(0o755)
    (folder / "libvirt-sock").chmod(0o777)
    return folder


def scrape(port):
    """/metrics, or an empty text while nobody answers."""
    done = subprocess.run(
        ["curl", "-s", "-m", "10", f"http://127.0.0.1:{port}/metrics"],
        capture_output=True,
        text=True,
    )
    return done.stdout


@pytest.mark.timeout(120)
def test_a_read_only_container_outlives_a_restart_of_libvirtd(image, libvirtd):
    folder = let_everybody_in(libvirtd)
    name, port = f"vs-{uuid.uuid4().hex[:8]}", free_ports()
    engine(
        *("run", "--detach", "--name", name, "--read-only", "--cap-drop", "ALL"),
        *("--security-opt", "no-new-privileges", "--network", "host"),
        *("-v", f"{folder}:/sockets:ro"),
        *(image, "--libvirt.uri", "qemu+unix:///session?socket=/sockets/libvirt-sock"),
        *("--web.listen-address", f"127.0.0.1:{port}"),
    )
    try:
        until(lambda: "libvirt_up 1.0" in scrape(port), "the container to read libvirt")
        user, _pid = engine("top", name, "-eo", "uid,pid").split()[2:]
        assert user == "65534"
        assert 'virtscale_collector_build_info{version="unknown"}' not in scrape(port)
        libvirtd.stop()
        until(lambda: "libvirt_up 0.0" in scrape(port), "the container to miss libvirt")
        libvirtd.start()
        let_everybody_in(libvirtd)
        assert "libvirt_up 1.0" in scrape(port), engine("logs", name)
        assert "Traceback" not in engine("logs", name)
    finally:
        engine("rm", "--force", name)
