"""The files for a user's own images fit each other and what the worker understands."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from guest_worker import config

GUEST = Path(__file__).parents[3] / "deploy" / "guest"
UNIT = GUEST / "virtscale-guest-worker.service"


def test_cloud_init_installs_the_same_unit() -> None:
    text = (GUEST / "user-data").read_text()
    assert text.startswith("#cloud-config\n")
    data = yaml.safe_load(text)
    files = {file["path"]: file["content"] for file in data["write_files"]}
    assert files["/etc/systemd/system/virtscale-guest-worker.service"] == UNIT.read_text()
    assert any("@WHEEL_URL@" in part for command in data["runcmd"] for part in command)


def test_the_unit_passes_every_credential_that_the_worker_reads() -> None:
    passed = re.findall(r"^LoadCredential=virtscale\.(\S+)$", UNIT.read_text(), re.MULTILINE)
    assert tuple(passed) == config._CREDENTIALS


def test_variables_named_in_the_files_exist() -> None:
    for path in GUEST.iterdir():
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
