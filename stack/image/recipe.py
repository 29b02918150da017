"""What goes into the image and how it starts: data only. A change here needs a new `VERSION`."""

import re

VERSION = "2"

MAX_IMAGE_BYTES = 250_000_000
NEEDED_FREE_BYTES = 700_000_000
"""Downloads, the unpacked trees and the result, at their largest together."""

PYTHON_VERSIONS = ("3.11", "3.12", "3.13", "3.14")
"""The first that the distribution offers is taken: older ones are smaller and start sooner."""

USERLAND = ("python{python}-minimal", "libpython{python}-stdlib", "libstdc++6", "busybox-static")

# Of everything those depend on, the files that the worker or init really load. The rest (dpkg,
# debconf, databases, readline) only serves their installation.
WANTED = re.compile(
    r"(libc6|libgcc-s1|libstdc\+\+6|zlib1g|libexpat1|libssl3|libssl3t64|libffi\d+"
    r"|python3\.\d+-minimal|libpython3\.\d+-(minimal|stdlib)|busybox-static)"
)

KERNELS = ("linux-image-cloud-amd64", "linux-image-virtual")
"""Meta-packages, Debian's and Ubuntu's. Their kernels have no drivers for real hardware."""

KERNEL_PARTS = re.compile(r"linux-(image|modules)-(unsigned-)?\d\S*")

EARLY_MODULES = ("virtio_pci", "virtio_blk", "ext4", "virtio_net", "dmi-sysfs", "qemu_fw_cfg")
"""Loaded before the worker starts: disk, network, and the table its identity comes from."""

LATE_MODULES = ("button", "evdev", "virtio-rng", "virtio_balloon", "af_packet")
"""Loaded once the worker is up: power button, entropy, memory figures, DHCP."""

UNNEEDED = (
    "usr/share",
    "usr/lib/python3*/config-*",
    "usr/lib/python3*/ensurepip",
    "usr/lib/python3*/idlelib",
    "usr/lib/python3*/lib2to3",
    "usr/lib/python3*/pydoc_data",
    "usr/lib/python3*/sqlite3",
    "usr/lib/python3*/test",
    "usr/lib/python3*/tkinter",
    "usr/lib/python3*/turtledemo",
    "usr/lib/python3*/unittest",
    "usr/lib/python3*/xmlrpc",
    "usr/lib/python3*/distutils",
    "usr/lib/python3*/lib-dynload/_dbm*",
    "usr/lib/python3*/lib-dynload/_curses*",
    "usr/lib/python3*/lib-dynload/_sqlite3*",
    "usr/lib/python3*/lib-dynload/_codecs_*",
    "usr/lib/python3*/lib-dynload/_test*",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/x86_64-linux-gnu/ossl-modules",
    "usr/lib/x86_64-linux-gnu/engines-3",
    "etc/init.d",
    "srv/bin",
    "srv/cffi",
    "srv/pycparser",
    "srv/**/include",
    "srv/**/*.pyi",
    "srv/**/*.pyx",
    "srv/**/*.pxi",
    "srv/**/*.pxd",
)

KERNEL_ARGUMENTS = (
    "console=ttyS0",
    "quiet",
    "panic=1",
    "ipv6.disable=1",
    # The guest runs our code only; the host isolates it. These cost a third of an emulated boot.
    "mitigations=off",
    "cryptomgr.notests",
    "apparmor=0",
    "nokaslr",
    "noreplace-smp",
    "random.trust_cpu=on",
    "tsc=reliable",
    "no_timer_check",
    "initcall_blacklist=init_kprobe_trace,load_system_certificate_list,init_ima,init_encrypted,"
    "blacklist_init,crypto_kdf108_init,tracer_init_tracefs,event_trace_init",
)
