"""What must never be committed: one machine's paths, a registry's address, build products."""

import re

# Written in pieces so that this file does not contain what it looks for.
_HOSTS = ["pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "deb.debian" + ".org"]
_HOSTS += ["archive.ubuntu" + ".com", "registry" + ".yarnpkg"]
_MACHINE_PATHS = [
    r"/" + r"root/\.",
    r"/" + r"home/(?!\$|<|\{|USER|you\b)\w+/",
    r"/" + r"work/(main|shared)",
]
_REFUSED = re.compile("|".join([*map(re.escape, _HOSTS), *_MACHINE_PATHS]))
_PRODUCTS = (".pyc", ".qcow2", ".img", ".db", ".sock", ".log", ".whl", ".squashfs")


def test_no_path_of_one_machine_and_no_registry_is_named(sources):
    found = []
    for path in sources.paths:
        text = path.read_bytes().decode("utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if _REFUSED.search(line):
                found.append(f"{sources.name(path)}:{number} {line.strip()[:80]}")
    assert not found


def test_no_build_product_is_tracked(sources):
    assert not [sources.name(path) for path in sources.paths if path.suffix in _PRODUCTS]
