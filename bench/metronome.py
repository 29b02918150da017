"""A bare timer in a process of its own: how late anything is on this machine now.

`python -m bench.metronome INTERVAL SECONDS FILE`: FILE gets the instants at which it woke.
"""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Ticks for so long."""
    interval, seconds, path = float(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
    ticks = [time.monotonic()]
    due = ticks[0] + interval
    while due < ticks[0] + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        ticks.append(time.monotonic())
        due = ticks[-1] + interval
    path.write_text(json.dumps(ticks))


if __name__ == "__main__":
    main()
