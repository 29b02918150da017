"""Writes the dashboards' JSON beside this file: `python grafana/generate.py`."""

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
# Run as a script, it finds the package from the checkout's root.
sys.path.insert(0, str(FOLDER.parent))

from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: E402

from grafana.domain import domain  # noqa: E402
from grafana.host import host  # noqa: E402


def documents() -> dict[str, str]:
    """Text by name of file."""
    return {
        f"{name}.json": json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for name, board in (("host", host()), ("domain", domain()))
    }


def main() -> None:
    """Writes them all."""
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
