"""Builds a Debian package of the collector alone. `--out DIR` says where to put it.

Debian 12's own pydantic is too old, so the package brings the Python packages it needs: those of
the environment that runs this, which `./test` and `./run` make from the locks. Nothing is
downloaded. The package fits the Debian release and the Python it was built with.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy"))

import parts  # noqa: E402

_LIBRARY = Path("usr/lib/virtscale-collector")
_UNITS = Path("usr/lib/systemd/system")
_LAUNCHER = """\
#!/usr/bin/python3 -I
import os
import sys

here = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(here, "..", "lib", "virtscale-collector"))

from collector.__main__ import main

sys.exit(main())
"""
_SCRIPTS = {
    "postinst": """\
#!/bin/sh
set -e
if [ "$1" = configure ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    if [ -z "$2" ]; then
        systemctl enable --now virtscale-collector.service || true
    else
        systemctl try-restart virtscale-collector.service || true
    fi
fi
""",
    "prerm": """\
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --now virtscale-collector.socket virtscale-collector.service || true
fi
""",
    "postrm": """\
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
""",
}


def main() -> int:
    """Builds the package, prints its path."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to put it")
    arguments = parser.parse_args()
    os.umask(0o022)  # What is in the package has the modes that it has here.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    architecture = _output("dpkg", "--print-architecture")
    package = arguments.out / f"virtscale-collector_{project['version']}_{architecture}.deb"
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        tree.chmod(0o755)
        _fill(tree, project)
        _control(tree, project, architecture)
        _output("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", name, str(package))
    sys.stdout.write(f"{package}\n")
    return 0


def _fill(tree: Path, project: dict[str, object]) -> None:
    library = tree / _LIBRARY
    parts.copy_own("collector", library)
    parts.copy_needed("collector", project, library)
    parts.write_facts(project, library)
    _put(tree / "usr/bin/virtscale-collector", _LAUNCHER, 0o755)
    for unit in ("virtscale-collector.service", "virtscale-collector.socket"):
        _put(tree / _UNITS / unit, (ROOT / "deploy/systemd" / unit).read_text(), 0o644)
    configuration = (ROOT / "deploy/systemd/collector.yaml").read_text()
    _put(tree / "etc/virtscale/collector.yaml", configuration, 0o644)
    license_text = (ROOT / "LICENSE").read_text()
    _put(tree / "usr/share/doc/virtscale-collector/copyright", license_text, 0o644)


def _control(tree: Path, project: dict[str, object], architecture: str) -> None:
    python, following = sys.version_info[1], sys.version_info[1] + 1
    size = sum(file.stat().st_size for file in tree.rglob("*") if file.is_file()) // 1024
    fields = {
        "Package": "virtscale-collector",
        "Version": project["version"],
        "Architecture": architecture,
        "Maintainer": "virtscale <virtscale@localhost>",
        "Section": "net",
        "Priority": "optional",
        "Installed-Size": size,
        # libvirtd asks for the name of the unit's user, which is in no file (DynamicUser).
        "Depends": f"python3 (>= 3.{python}), python3 (<< 3.{following}), libvirt0, libc6, "
        "libnss-systemd",
        "Suggests": "openssh-client, prometheus",
        "Description": "Prometheus exporter of libvirt domains\n"
        " Reads statistics of all domains read-only, with one query, when Prometheus asks.",
    }
    text = "".join(f"{name}: {value}\n" for name, value in fields.items())
    _put(tree / "DEBIAN/control", text, 0o644)
    _put(tree / "DEBIAN/conffiles", "/etc/virtscale/collector.yaml\n", 0o644)
    for name, script in _SCRIPTS.items():
        _put(tree / "DEBIAN" / name, script, 0o755)


def _put(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
