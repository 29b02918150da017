"""The operator's hold in a small file, so that a restart does not lift it."""

import json
import os
import threading
from pathlib import Path

from scaler.decision import Hold


class HoldFile:
    """Holds in memory, and in `path` when there is one. Used from the loop and from API threads."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._hold = None if path is None else _read(path)

    def get(self) -> Hold | None:
        """See `HoldStore.get`."""
        with self._lock:
            return self._hold

    def set(self, hold: Hold | None) -> None:
        """See `HoldStore.set`.

        Raises:
            OSError: the file cannot be written; the order stands as it was.

        """
        with self._lock:
            if self._path is not None:
                _write(self._path, hold)
            self._hold = hold


def _read(path: Path) -> Hold | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Hold(str(content["author"]), str(content["reason"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        # Somebody wanted no actions; a file that cannot be read must not lift that.
        return Hold("unknown", f"{path} cannot be read")


def _write(path: Path, hold: Hold | None) -> None:
    if hold is None:
        path.unlink(missing_ok=True)
        return
    text = json.dumps({"author": hold.author, "reason": hold.reason})
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
