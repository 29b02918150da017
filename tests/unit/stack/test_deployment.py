"""The units of dispatcher, scaler and stack are accepted, closed, and fit their configurations."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dispatcher.config import DispatcherSettings
from scaler.config import ScalerConfig
from servicekit.config import check

SYSTEMD = Path(__file__).parents[3] / "deploy" / "systemd"
UNITS = ("virtscale-dispatcher.service", "virtscale-scaler.service", "virtscale.service")
WORST_EXPOSURE = {
    "virtscale-dispatcher.service": 1.4,
    "virtscale-scaler.service": 1.6,
    "virtscale.service": 1.7,
}
_PROGRAM = re.compile(r"^(ExecStart=)\S+", re.MULTILINE)


@pytest.fixture
def analyze(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    for name in UNITS:
        (tmp_path / name).write_text(_PROGRAM.sub(r"\1/bin/true", (SYSTEMD / name).read_text()))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        files = [str(tmp_path / name) for name in UNITS]
        return subprocess.run([program, *arguments, *files], capture_output=True, text=True)

    return run


def test_systemd_accepts_the_units(
    analyze: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    lines = analyze("verify", "--man=no").stderr.splitlines()
    assert [line for line in lines if any(name in line for name in UNITS)] == []


def test_the_services_are_hardened(
    analyze: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    shown = analyze("security", "--offline=true", "--no-pager").stdout
    if not shown:
        pytest.skip("this systemd-analyze judges no files")
    found = dict(re.findall(r"exposure level for (\S+): ([\d.]+)", shown))
    assert set(found) == set(UNITS)
    assert {
        name: level for name, level in found.items() if float(level) > WORST_EXPOSURE[name]
    } == {}


@pytest.mark.parametrize(
    ("service", "settings"), [("dispatcher", DispatcherSettings), ("scaler", ScalerConfig)]
)
def test_the_shipped_configuration_is_right_also_with_its_examples(
    service: str, settings: type
) -> None:
    text = (SYSTEMD / f"{service}.yaml").read_text()
    check(settings, yaml.safe_load(text), source="t")
    examples = re.sub(r"^# (\w+: /)", r"\1", text, flags=re.MULTILINE)
    assert examples != text
    check(settings, yaml.safe_load(examples), source="t")


@pytest.mark.parametrize("service", ["dispatcher", "scaler"])
def test_a_configuration_names_credentials_and_places_that_the_unit_gives(service: str) -> None:
    unit = (SYSTEMD / f"virtscale-{service}.service").read_text()
    given = set(re.findall(r"^(?:# )?LoadCredential=([\w.]+):", unit, re.MULTILINE))
    text = (SYSTEMD / f"{service}.yaml").read_text()
    named = re.findall(rf"/run/credentials/virtscale-{service}\.service/([\w.]+)", text)
    assert set(named) == given
    assert f"StateDirectory=virtscale-{service}\n" in unit
    assert f"/var/lib/virtscale-{service}" in text
    assert f"--config /etc/virtscale/{service}.yaml\n" in unit


def test_the_stack_and_the_scaler_end_before_libvirt_guests_looks() -> None:
    for name in ("virtscale.service", "virtscale-scaler.service"):
        (after,) = re.findall(r"^After=(.*)$", (SYSTEMD / name).read_text(), re.MULTILINE)
        assert "libvirt-guests.service" in after.split()


def test_the_stack_may_run_setpriv_behind_its_filter() -> None:
    """The supervisor starts services by setpriv, which calls capset, one of @privileged."""
    text = (SYSTEMD / "virtscale.service").read_text()
    filters = re.findall(r"^SystemCallFilter=(.*)$", text, re.MULTILINE)
    assert filters.index("capset") > filters.index("~@privileged")


def test_no_service_is_given_up_after_quick_ends_and_the_scaler_is_known_to_polkit() -> None:
    for name in (*UNITS, "virtscale-collector.service"):
        assert "\nStartLimitIntervalSec=0\n" in (SYSTEMD / name).read_text()
    scaler = (SYSTEMD / "virtscale-scaler.service").read_text()
    assert "\nUser=virtscale-scaler\n" in scaler
    assert "DynamicUser=yes" not in scaler
