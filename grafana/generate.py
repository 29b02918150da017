"""Writes the dashboards' JSON into `grafana/dashboards`: `python grafana/generate.py`."""

import json
import sys
from itertools import count
from pathlib import Path

# Run as a script, it finds the package from the checkout's root.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Panel

from grafana.dispatcher import dispatcher
from grafana.domain import domain
from grafana.elasticity import elasticity
from grafana.fleet import fleet
from grafana.host import host
from grafana.written import FOLDER


def documents() -> dict[str, str]:
    """Text by name of file."""
    boards = (fleet, dispatcher, elasticity, host, domain)
    return {f"{make.__name__}.json": _text(make()) for make in boards}


def _text(board: Dashboard) -> str:
    built = board.build()
    # Grafana numbers panels without a number at each load, and links to one would break.
    for number, panel in zip(count(1), built.panels or (), strict=False):
        if isinstance(panel, Panel):
            panel.id_val = number
    return json.dumps(built, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Writes them all."""
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
