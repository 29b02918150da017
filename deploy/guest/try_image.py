"""Tries the guest worker's user-data on a real cloud-init and systemd, which takes ten minutes.

It builds an image of the packages of Debian 12's cloud image, boots it in QEMU, and sees its worker
say Hello to a dispatcher, hash, leave when the power button is pressed, and come back at the next
boot, with the archive fetched once. Needs root, mmdebstrap, qemu-system-x86 and genisoimage. Run it
with the Python of .venv, which ./test makes.
"""

import argparse
import contextlib
import csv
import functools
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "linux-image-cloud-amd64,systemd-sysv,libpam-systemd,cloud-init,cloud-guest-utils,netplan.io,"
    "systemd-resolved,systemd-timesyncd,dbus,openssh-server,python3,sudo,ca-certificates,iproute2,"
    "locales,apparmor,kmod,procps,initramfs-tools,zstd"
)
SECONDS = 900.0
FINISHED = re.compile(r"Cloud-init v\. \S+ finished")
BAD = ("WARNING", "Traceback", "PRIVATE KEY", "FAILED")
NUMBERS = 40
FILES = {
    # As Debian's cloud images have them.
    "etc/netplan/90-default.yaml": "network:\n  version: 2\n  ethernets:\n    all-en:\n"
    '      match: {name: "en*"}\n      dhcp4: true\n',
    "etc/fstab": "LABEL=root / ext4 rw,discard,errors=remount-ro 0 1\n",
    "etc/cloud/cloud.cfg.d/95_locale.cfg": "locale: C.UTF-8\n",
    "etc/default/locale": "LANG=C.UTF-8\n",
    "etc/hostname": "localhost\n",
    "etc/machine-id": "",
}


def main() -> int:
    """0 when all was seen."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root-archive",
        type=Path,
        metavar="FILE",
        help="keep the tree of packages here (.tar), and use it the next time",
    )
    parser.add_argument("--accel", default="tcg", help="of QEMU: tcg, or kvm where that works")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("error: an image's files belong to its users: run this as root")
    with tempfile.TemporaryDirectory(prefix="virtscale-try-") as name:
        place = Path(name)
        archive = (arguments.root_archive or place / "root.tar").resolve()
        if not archive.exists():
            say("building the tree of packages")
            run("mmdebstrap", f"--include={PACKAGES}", "bookworm", str(archive))
        disk(archive, place)
        with served(place / "www") as (url, requests), dispatching(place) as dispatcher:
            run(sys.executable, ROOT / "deploy/guest/build_worker.py", "--url", url,
                "--out", place / "www", "--python", "3.11")  # fmt: skip
            seed(place)
            for number in (1, 2):
                boot(place, dispatcher, number, arguments.accel)
            if len(requests) != 1:
                raise SystemExit(f"error: the archive was fetched {len(requests)} times")
    say("all was seen")
    return 0


def boot(place: Path, dispatcher: "Dispatcher", number: int, accel: str) -> None:
    """One life of the guest, from the start to the power button."""
    with guest(place, dispatcher, number, accel) as (process, console, press):

        def said() -> str:
            return console.read_text("utf-8", "replace") if console.exists() else ""

        began = time.monotonic()
        await_(lambda: dispatcher.count("worker.connected") == number, "Hello", console)
        say(f"boot {number}: Hello after {time.monotonic() - began:.0f} s")
        dispatcher.hash_some(place)
        await_(lambda: FINISHED.search(said()), "the end of cloud-init", console)
        press()
        await_(lambda: process.poll() is not None, "the guest's end", console)
        await_(lambda: dispatcher.count("worker.left") == number, "Goodbye", console)
        found = [bad for bad in BAD if bad in said()]
        if found:
            raise SystemExit(f"error: the console says {found}:\n{said()[-3000:]}")


def disk(archive: Path, place: Path) -> None:
    """Disk, kernel and start-up files."""
    say("making the disk")
    tree = place / "tree"
    tree.mkdir()
    run("tar", "-C", tree, "-xpf", archive, "--numeric-owner", "--exclude=./dev/*")
    for path, text in FILES.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
        (tree / path).chmod(0o600 if "netplan" in path else 0o644)
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    resolver = tree / "etc/resolv.conf"
    resolver.unlink(missing_ok=True)
    resolver.symlink_to("../run/systemd/resolve/stub-resolv.conf")
    for name, pattern in (("kernel", "vmlinuz-*"), ("initrd", "initrd.img-*")):
        (found,) = (tree / "boot").glob(pattern)
        (place / name).write_bytes(found.read_bytes())
    run("mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", tree, place / "disk", "2500M")
    run("rm", "-r", tree)


def seed(place: Path) -> None:
    """The disk on which cloud-init finds what to do."""
    (place / "www/meta-data").write_text("instance-id: try\nlocal-hostname: try\n")
    files = [place / "www/user-data", place / "www/meta-data"]
    run("genisoimage", "-quiet", "-volid", "cidata", "-joliet", "-rock", "-output", place / "seed",
        *files)  # fmt: skip


@contextlib.contextmanager
def guest(
    place: Path, dispatcher: "Dispatcher", number: int, accel: str
) -> Iterator[tuple[subprocess.Popen[bytes], Path, Callable[[], None]]]:
    """A running guest, what it says, and its power button."""
    console, monitor = place / f"console-{number}", place / f"monitor-{number}"
    command: list[object] = [
        "qemu-system-x86_64",
        "-machine",
        f"q35,accel={accel}",
        "-cpu",
        "max",
        "-m",
        "768",
    ]
    command += ["-kernel", place / "kernel", "-initrd", place / "initrd", "-display", "none"]
    command += ["-append", "root=LABEL=root ro console=ttyS0", "-serial", f"file:{console}"]
    command += ["-drive", f"file={place}/disk,format=raw,if=virtio"]
    command += ["-drive", f"file={place}/seed,format=raw,if=virtio,readonly=on"]
    command += ["-nic", "user,model=virtio", "-monitor", f"unix:{monitor},server,nowait"]
    for text in dispatcher.credentials:
        command += ["-smbios", f"type=11,value={text}"]
    process = subprocess.Popen(list(map(str, command)))

    def press() -> None:
        with socket.socket(socket.AF_UNIX) as button:
            button.connect(str(monitor))
            until_asked(button)
            button.sendall(b"system_powerdown\n")
            # Who hangs up before the next prompt takes the order back.
            until_asked(button)

    try:
        yield process, console, press
    finally:
        process.kill()
        process.wait()


def until_asked(monitor: socket.socket) -> None:
    """Reads until QEMU's monitor shows its prompt."""
    said = b""
    while b"(qemu) " not in said:
        heard = monitor.recv(4096)
        if not heard:
            return
        said += heard


class Dispatcher:
    """A dispatcher of its own, with certificates for one worker."""

    def __init__(self, place: Path, port: int, log: Path) -> None:
        self.port, self._log, self._tls = port, log, place / "tls"
        virtscale("certs", "init", "--dir", self._tls)
        virtscale("certs", "server", "10.0.2.2", "127.0.0.1", "--dir", self._tls)
        virtscale("certs", "token", "try", "--role", "admin", "--dir", self._tls)
        shown = virtscale("certs", "worker", "try", "--xml", "--dir", self._tls)
        entries = [ElementTree.fromstring(line) for line in shown.splitlines() if "<entry" in line]
        address = f"io.systemd.credential:virtscale.dispatcher=10.0.2.2:{port + 1}"
        self.credentials = [address, *((one.text or "").strip() for one in entries)]
        pair = {"certificate": f"{self._tls}/dispatcher.pem", "key": f"{self._tls}/dispatcher.key"}
        settings = {
            "listen": f"127.0.0.1:{port}",
            "tls": pair,
            "tokens_file": f"{self._tls}/tokens",
            "listen_workers": f"127.0.0.1:{port + 1}",
            "worker_tls": {**pair, "client_ca": f"{self._tls}/ca.pem"},
            "listen_address": f"127.0.0.1:{port + 2}",
            "database": f"{place}/dispatcher.db",
        }
        (place / "dispatcher.yaml").write_text(json.dumps(settings))

    def count(self, event: str) -> int:
        """How often the dispatcher has told of something."""
        return self._log.read_text().count(f'"event": "{event}"')

    def hash_some(self, place: Path) -> None:
        """Every number has its result."""
        numbers, results = place / "numbers", place / "results"
        numbers.write_text("".join(f"KA-47-UT-{1000 + number}\n" for number in range(NUMBERS)))
        results.unlink(missing_ok=True)
        reached = ("--dispatcher", f"127.0.0.1:{self.port}", "--ca", self._tls / "ca.pem")
        shown = ("--token-file", self._tls / "try.token", "--profile", "legacy-sha256")
        virtscale("submit", numbers, "--out", results, *reached, *shown)
        with results.open() as file:
            rows = list(csv.DictReader(file))
        if len([row for row in rows if row["hash"]]) != NUMBERS:
            raise SystemExit(f"error: {len(rows)} of {NUMBERS} numbers were hashed")


@contextlib.contextmanager
def dispatching(place: Path) -> Iterator[Dispatcher]:
    """A running one."""
    log = place / "dispatcher.log"
    dispatcher = Dispatcher(place, free_ports(), log)
    with log.open("wb") as output:
        command = [sys.executable, "-m", "dispatcher", "--config", f"{place}/dispatcher.yaml"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, env=ENVIRONMENT)
        try:
            await_(lambda: dispatcher.count("dispatcher.started"), "the dispatcher", log)
            yield dispatcher
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def served(directory: Path) -> Iterator[tuple[str, list[str]]]:
    """The address by which guests reach a directory, and what was fetched from it."""
    directory.mkdir()
    fetched: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            fetched.append(self.path)

    handler = functools.partial(Handler, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://10.0.2.2:{server.server_address[1]}", fetched
        server.shutdown()


def free_ports() -> int:
    """The first of three."""
    for port in range(26100, 26999, 3):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for one in range(port, port + 3):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", one))
            return port
    raise SystemExit("error: no port is free between 26100 and 26999")


def await_(is_so: Callable[[], object], what: str, log: Path) -> None:
    """Until it is so; with the end of what was said when it does not become so."""
    end = time.monotonic() + SECONDS
    while not is_so():
        if time.monotonic() > end:
            tail = log.read_text("utf-8", "replace")[-3000:] if log.exists() else ""
            raise SystemExit(f"error: {what} did not come within {SECONDS:.0f} s:\n{tail}")
        time.sleep(0.5)


ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/proto"}


def virtscale(*arguments: object) -> str:
    """What the command of this checkout says."""
    return run(sys.executable, "-m", "stack", *arguments)


def run(*command: object) -> str:
    """The output; a failure ends the attempt with what was said."""
    words = list(map(str, command))
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT)
    if done.returncode:
        raise SystemExit(f"error: {' '.join(words[:4])}: {(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def say(text: str) -> None:
    """For who waits."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
