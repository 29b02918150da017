"""Derives the containers' Prometheus and Alertmanager files from those of `prometheus/`.

Only addresses and paths differ, so only those are replaced: rules are mounted as they are. Run it
when a file there has changed; a test compares.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_ADDRESSES = {
    "127.0.0.1:9177": "collector:9177",
    "127.0.0.1:9181": "dispatcher:9181",
    "127.0.0.1:9182": "scaler:9182",
    "127.0.0.1:9090": "prometheus:9090",
    "127.0.0.1:9093": "alertmanager:9093",
}
_PATHS = {
    "  - rules/*.yml": "  - /etc/rules/*.yml",
    "/etc/virtscale/alerts.token": "/run/secrets/alerts.token",
}
_HEAD = "# Made by deploy/compose/derive.py from {source}: change that.\n"


def derived(source: str, text: str) -> str:
    """The containers' version of a file; `source` is its name in the checkout.

    Raises:
        ValueError: it names an address of the host's that no container has.

    """
    for old, new in {**_ADDRESSES, **_PATHS}.items():
        text = text.replace(old, new)
    if "127.0.0.1" in text or "localhost" in text:
        raise ValueError(f"{source} names an address that deploy/compose/derive.py does not know")
    return _HEAD.format(source=source) + text


def all_derived() -> Mapping[Path, str]:
    """What each file must hold."""
    found = {}
    for name in ("prometheus", "alertmanager"):
        source = f"prometheus/{name}.yml"
        text = (ROOT / source).read_text(encoding="utf-8")
        found[ROOT / "deploy/compose" / name / f"{name}.yml"] = derived(source, text)
    return found


def main() -> int:
    """Writes the files."""
    for path, text in all_derived().items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
