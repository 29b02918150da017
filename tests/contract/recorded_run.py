"""What Prometheus scraped from real runs of the stack, whose load rose and fell on two domains.

WELL is one without trouble; it is older than the bound of 30 s, whose bucket was added to it: those
of 25 s and 50 s are equal in it, so it cannot be another one. OVERLOADED is one on a host that
others kept busy: boots took longer than their deadline, the breaker opened, most jobs were late.

Made, and to be made anew when metrics change, from the Prometheus of a stack that runs or has run:

    python -m tests.contract.recorded_run http://127.0.0.1:9090 FILE SECONDS [END]

A line for each series, with a sample a second in promtool's notation.
"""

import gzip
import json
import re
import sys
import time
from pathlib import Path

import requests

from tests.contract.promql_servers import MOMENT, parse_series, parse_values, samples

WELL = Path(__file__).with_name("recorded_well.txt.gz")
OVERLOADED = Path(__file__).with_name("recorded_overloaded.txt.gz")
WANTED = '{__name__=~"(virtscale|libvirt)_.*|up", __name__!~".*_created"}'
STATE = "/var/lib/virtscale"


def lines(path):
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def series(path, begin):
    """Pairs of labels and samples, as `Server.write` takes them; the run begins at `begin`."""
    for line in lines(path):
        name, values = line.rsplit("} ", 1)
        yield parse_series(name + "}"), samples(name, values, begin, 1)


def length_seconds(path):
    return max(len(parse_values(line.rsplit("} ", 1)[1])) for line in lines(path)) - 1


def record(url, path, seconds, end):
    """Writes a file."""
    asked = {"query": f"{WANTED}[{seconds}s]", "time": end}
    answer = requests.get(f"{url}/api/v1/query", params=asked, timeout=60).json()
    found = answer["data"]["result"]
    # Each target has its own moment within the second.
    first = {}
    for one in found:
        moment = float(one["values"][0][0])
        first[_target(one)] = min(first.get(_target(one), moment), moment)
    told = []
    for one in found:
        begin = end - seconds + first[_target(one)] % 1
        slots = [None] * (seconds + 1)
        for moment, value in one["values"]:
            if MOMENT in one["metric"]["__name__"]:
                value = str(round(float(value) - begin, 3))
            slots[min(seconds, max(0, round(float(moment) - begin)))] = value
        labels = dict(one["metric"])
        name = labels.pop("__name__")
        inner = ",".join(f"{key}={json.dumps(labels[key])}" for key in sorted(labels))
        told.append(f"{name}{{{_elsewhere(inner)}}} {notation(slots)}\n")
    path.write_bytes(gzip.compress("".join(sorted(told)).encode(), 9, mtime=0))


def notation(slots):
    """Values, which are None where there is no sample, in promtool's notation.

    A gap of more than a second is a series that has ended: Prometheus marks it as stale.
    """
    last = max(number for number, value in enumerate(slots) if value is not None)
    parts, at = [], 0
    while at <= last:
        value, end = slots[at], at
        while end < last and slots[end + 1] == value:
            end += 1
        same = end - at
        if value is not None:
            parts.append(value if same == 0 else f"{value}x{same}")
        elif at > 0 and same > 0:
            parts.append(f"stale _x{same}")
        else:
            parts.append(f"_x{same + 1}")
        at = end + 1
    if last < len(slots) - 2:
        parts.append("stale")
    return " ".join(parts)


def _target(one):
    return one["metric"].get("job"), one["metric"].get("instance")


def _elsewhere(labels):
    """Without the place of this machine's state directory."""
    return re.sub(r'"/[^"]*?/image/', f'"{STATE}/image/', labels)


if __name__ == "__main__":
    ENDS = int(sys.argv[4]) if len(sys.argv) > 4 else int(time.time())
    record(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), ENDS)
