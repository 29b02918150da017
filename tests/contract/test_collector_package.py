"""The Debian package of the collector alone holds all that it needs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def done(*command):
    return subprocess.run(
        list(map(str, command)), cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    folder = tmp_path_factory.mktemp("deb")
    built = done(sys.executable, "deploy/debian/build_package.py", "--out", folder).strip()
    return Path(built)


def test_the_package_runs_by_itself(package, tmp_path):
    done("dpkg-deb", "-x", package, tmp_path)
    program = tmp_path / "usr/bin/virtscale-collector"
    assert program.stat().st_mode & 0o777 == 0o755
    # Without the packages of the environment that runs this test.
    bare = (sys.executable, "-I", "-S", program)
    assert done(*bare, "--check-config") == "configuration OK\n"
    shipped = tmp_path / "etc/virtscale/collector.yaml"
    assert done(*bare, "--config", shipped, "--check-config") == "configuration OK\n"
    loaded = done(*bare, "--help")
    assert "usage: virtscale-collector" in loaded


def test_the_package_says_what_it_is(package):
    assert done("dpkg-deb", "-f", package, "Package") == "virtscale-collector\n"
    needed = done("dpkg-deb", "-f", package, "Depends").strip().split(", ")
    assert {"libvirt0", "libnss-systemd"} <= set(needed)
    listed = done("dpkg-deb", "-c", package)
    for path in (
        "./etc/virtscale/collector.yaml",
        "./usr/lib/systemd/system/virtscale-collector.service",
        "./usr/lib/systemd/system/virtscale-collector.socket",
        "./usr/share/doc/virtscale-collector/copyright",
    ):
        assert path in listed
    assert all(line.split()[1] == "root/root" for line in listed.splitlines())
    for absent in ("grpc", "scaler", "dispatcher", "__pycache__", "bin/python"):
        assert absent not in listed
