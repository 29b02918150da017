"""First Python in a guest: identity from the domain, rights away, then the worker.

A system's usual tools (`su`, `dmidecode`, `python -m`) do this too, but each is one more program to
load on an emulated CPU.
"""

import os
import sys

WORKER_UID = WORKER_GID = 65534
OEM_STRINGS = "/sys/firmware/dmi/entries/11-%d/raw"
PREFIX = "io.systemd.credential:virtscale."
FILES = "/sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials"
FILE_PREFIX = "virtscale."


def strings(raw: bytes) -> list[str]:
    """The strings of one raw SMBIOS structure: they follow its formatted part, NUL-terminated."""
    texts = raw[raw[1] :].split(b"\0")
    return [text.decode("utf-8", "replace") for text in texts if text]


def settings(texts: list[str]) -> dict[str, str]:
    """`io.systemd.credential:virtscale.worker-id=x` becomes VIRTSCALE_WORKER_ID=x."""
    found = {}
    for text in texts:
        if text.startswith(PREFIX):
            name, _, value = text[len(PREFIX) :].partition("=")
            found[variable(name)] = value
    return found


def variable(name: str) -> str:
    """The environment variable of a credential."""
    return "VIRTSCALE_" + name.upper().replace("-", "_")


def files(directory: str) -> dict[str, str]:
    """The same from what the host gives as files: `virtscale.tls-key/raw`."""
    found: dict[str, str] = {}
    try:
        names = os.listdir(directory)
    except OSError:
        return found
    for name in names:
        if name.startswith(FILE_PREFIX):
            with open(f"{directory}/{name}/raw", "rb") as file:
                found[variable(name[len(FILE_PREFIX) :])] = file.read().decode("utf-8", "replace")
    return found


def oem_strings() -> list[str]:
    """What the domain's definition says to this guest."""
    texts: list[str] = []
    entry = 0
    while True:
        try:
            with open(OEM_STRINGS % entry, "rb") as file:
                texts += strings(file.read())
        except OSError:
            return texts
        entry += 1


def main() -> int:
    """Never returns while the worker works; its exit code."""
    os.environ.clear()
    os.environ.update(settings(oem_strings()))
    os.environ.update(files(FILES), HOME="/tmp", LANG="C.UTF-8")
    os.setgroups([])
    os.setgid(WORKER_GID)
    os.setuid(WORKER_UID)
    os.chdir("/tmp")
    sys.path.append("/srv")
    from guest_worker.__main__ import main as work

    sys.argv = ["guest_worker"]
    return work()


if __name__ == "__main__":
    sys.exit(main())
