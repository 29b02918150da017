#!/usr/bin/python3 -I
"""Installs the guest worker from its archive, inside a guest, as root: install.py PLACE [SHA256].

PLACE is a file or URL of what build_worker.py made. Nothing else is fetched. A guest that has this
archive already is left as it is: clones do again what cloud-init does once per instance.
"""

import compileall
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
import venv

HOME = "/opt/virtscale"
UNIT = "virtscale-guest-worker.service"
UNITS = "/etc/systemd/system"
# A server of archives may come up after its guests, and the network after cloud-init's last stage.
PATIENCE_SECONDS = 600.0
PAUSE_SECONDS = 5.0


def main(
    arguments: list[str],
    home: str = HOME,
    units: str = UNITS,
    patience: float = PATIENCE_SECONDS,
    systemctl: str = "systemctl",
) -> int:
    """0; every fault ends it with one sentence."""
    if len(arguments) not in (1, 2):
        raise SystemExit("usage: install.py FILE-OR-URL [SHA256]")
    expected = arguments[1] if len(arguments) == 2 else ""
    stamp = os.path.join(home, "archive.sha256")
    if expected and os.path.exists(stamp):
        with open(stamp, encoding="ascii") as file:
            if file.read().strip() == expected:
                _say("the guest worker is installed already")
                return 0
    archive = _fetched(arguments[0], patience)
    found = hashlib.sha256(archive).hexdigest()
    if expected not in ("", found):
        raise SystemExit(f"error: {arguments[0]} has the SHA-256 {found}, not {expected}")
    _install(archive, home, units)
    with open(stamp, "w", encoding="ascii") as file:
        file.write(f"{found}\n")
    for order in (["daemon-reload"], ["enable", UNIT], ["restart", "--no-block", UNIT]):
        subprocess.run([systemctl, *order], check=True)
    _say("the guest worker is installed")
    return 0


def _fetched(place: str, patience: float) -> bytes:
    """The archive; waits for a server that does not answer yet."""
    end = time.monotonic() + patience
    while True:
        try:
            if "://" not in place:
                with open(place, "rb") as file:
                    return file.read()
            with urllib.request.urlopen(place, timeout=60) as answer:
                data: bytes = answer.read()
                return data
        except OSError as error:
            is_refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if is_refused or "://" not in place or time.monotonic() >= end:
                raise SystemExit(f"error: cannot fetch {place}: {error}") from None
            _say(f"waiting for {place}: {error}")
            time.sleep(PAUSE_SECONDS)


def _install(archive: bytes, home: str, units: str) -> None:
    """A virtual environment with the archive's packages for this Python, and the unit."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    library = f"lib/python{version}/site-packages/"
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        # Debian 12's has no filters; what is in the archive is ours.
        if hasattr(tarfile, "data_filter"):
            opened.extraction_filter = tarfile.data_filter
        members = [one for one in opened.getmembers() if one.name.startswith(library)]
        if not members:
            has = {one.name.split("/")[1] for one in opened if one.name.startswith("lib/")}
            raise SystemExit(
                f"error: the archive is for {', '.join(sorted(has))}, and this guest has Python "
                f"{version}; build one with --python {version}"
            )
        # Without pip, whose wheel Debian keeps in a package of its own.
        venv.create(home, clear=True, with_pip=False, symlinks=True)
        opened.extractall(home, members)
        opened.extract(UNIT, units)
    # The worker may not write here, and would compile all of it at each start.
    compileall.compile_dir(os.path.join(home, library), quiet=1)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
