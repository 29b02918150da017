"""The files for systemd and containers fit the program and each other."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from collector import flags
from collector.config import CollectorSettings
from servicekit.config import check

DEPLOY = Path(__file__).parents[3] / "deploy"
SYSTEMD = DEPLOY / "systemd"
UNITS = ("virtscale-collector.service", "virtscale-collector.socket")
WORST_EXPOSURE = 1.6


@pytest.fixture
def analyze(tmp_path):
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    for name in UNITS:
        text = (SYSTEMD / name).read_text()
        (tmp_path / name).write_text(text.replace("/usr/bin/virtscale-collector", "/bin/true"))

    def run(*arguments):
        return subprocess.run(
            [program, *arguments, *(str(tmp_path / name) for name in UNITS if name)],
            capture_output=True,
            text=True,
            check=False,
        )

    return run, tmp_path


def test_systemd_accepts_the_units(analyze):
    run, _ = analyze
    result = run("verify", "--man=no")
    complaints = [
        line for line in result.stderr.splitlines() if any(name in line for name in UNITS)
    ]
    assert complaints == []


def test_the_service_is_hardened(analyze):
    run, _ = analyze
    shown = run("security", "--offline=true", "--no-pager").stdout
    if not shown:
        pytest.skip("this systemd-analyze judges no files")
    (exposure,) = re.findall(r"exposure level for virtscale-collector\.service: ([\d.]+)", shown)
    assert float(exposure) <= WORST_EXPOSURE


def test_the_shipped_configuration_is_right_also_with_its_examples():
    text = (SYSTEMD / "collector.yaml").read_text()
    assert check(CollectorSettings, yaml.safe_load(text), source="t").uris == {
        "default": "qemu:///system"
    }
    examples = re.sub(r"^# (\w+: )", r"\1", text, flags=re.M)
    settings = check(CollectorSettings, yaml.safe_load(examples), source="t")
    assert set(settings.uris) == {"default", "blue"}


def test_variables_named_in_the_files_exist():
    known = {f"{flags.ENVIRONMENT_PREFIX}{name.upper()}" for name in CollectorSettings.model_fields}
    for path in (*SYSTEMD.iterdir(), DEPLOY / "container" / "Containerfile"):
        for name in re.findall(rf"{flags.ENVIRONMENT_PREFIX}[A-Z_]+", path.read_text()):
            assert name in known, path.name


def test_the_container_copies_what_exists():
    text = (DEPLOY / "container" / "Containerfile").read_text()
    for source in re.findall(r"^COPY (?!--from)(\S+)", text, re.M):
        assert (DEPLOY.parent / source).exists()
