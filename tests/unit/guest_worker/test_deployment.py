"""The files for a user's own images fit each other and what the worker understands."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from guest_worker import config

GUEST = Path(__file__).parents[3] / "deploy" / "guest"
UNIT = GUEST / "virtscale-guest-worker.service"
WORST_EXPOSURE = 1.4


@pytest.fixture(scope="module")
def build_worker() -> ModuleType:
    """The builder, which is a program and in no package."""
    spec = importlib.util.spec_from_file_location("build_worker", GUEST / "build_worker.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_cloud_init_runs_the_same_installer(build_worker: ModuleType) -> None:
    text = (GUEST / "user-data").read_text()
    assert text.startswith("#cloud-config\n")
    data = yaml.safe_load(text)
    (file,) = data["write_files"]
    assert file["content"] == (GUEST / "install.py").read_text()
    (command,) = data["runcmd"]
    assert command[2:] == [file["path"], "@WORKER_URL@", "@WORKER_SHA256@"]
    place, digest = "http://192.0.2.10:8000/virtscale-worker.tar.gz", "0" * 64
    filled = build_worker.user_data(text, place, digest)
    assert yaml.safe_load(filled)["runcmd"][0][3:] == [place, digest]


def test_the_unit_passes_every_credential_that_the_worker_reads() -> None:
    passed = re.findall(r"^LoadCredential=virtscale\.(\S+)$", UNIT.read_text(), re.MULTILINE)
    assert tuple(passed) == config._CREDENTIALS


def test_variables_named_in_the_files_exist() -> None:
    for path in (one for one in GUEST.iterdir() if one.is_file()):
        for name in re.findall(r"VIRTSCALE_[A-Z_]+", path.read_text()):
            assert name in (*config._VALUES.values(), "VIRTSCALE_INSECURE"), path.name


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/virtscale/bin/python", "/bin/true"))
    result = subprocess.run(
        [verify, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in result.stderr.splitlines() if UNIT.name in line]
    assert complaints == []


def test_the_worker_is_hardened_and_hears_netlink() -> None:
    assert " AF_NETLINK " in UNIT.read_text()
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    command = [analyze, "security", "--offline=true", "--no-pager", str(UNIT)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    if not shown:
        pytest.skip("this systemd-analyze judges no files")
    (level,) = re.findall(rf"exposure level for {UNIT.name}: ([\d.]+)", shown)
    assert float(level) <= WORST_EXPOSURE
