"""Lays out what the image of each service holds: `lay_out.py DIR` makes DIR/SERVICE/{needed,own}.

Two trees, because they become two layers: what the locks name changes rarely, our own code with
every version. Compiled here, as a container writes nothing and would compile at every start.
"""

import compileall
import os
import py_compile
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy"))

import parts  # noqa: E402

_PROGRAMS = {name: f"virtscale-{name}" for name in ("collector", "scaler", "dispatcher")}
_PROGRAMS["stack"] = "virtscale"
_LIBRARY = Path("usr/lib/virtscale")
_LAUNCHER = """\
#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "/{library}")

from {service}.__main__ import main

sys.exit(main())
"""


def main() -> int:
    """Writes the trees."""
    out = Path(sys.argv[1])
    os.umask(0o022)  # What is in the image has the modes that it has here.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for service, program_name in _PROGRAMS.items():
        needed, own = out / service / "needed", out / service / "own"
        (own / _LIBRARY).mkdir(parents=True)
        parts.copy_needed(service, project, needed / _LIBRARY)
        parts.copy_own(service, own / _LIBRARY)
        parts.write_facts(project, own / _LIBRARY)
        program = own / "usr/bin" / program_name
        program.parent.mkdir()
        program.write_text(_LAUNCHER.format(library=_LIBRARY, service=service))
        program.chmod(0o755)
        for tree in (needed, own):
            compileall.compile_dir(
                tree / _LIBRARY,
                quiet=1,
                stripdir=tree,
                prependdir="/",
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
