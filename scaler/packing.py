"""Bodies and samples of entries as few bytes. Pure.

Both are JSON, deflated. A dictionary of the words that every record has makes a record of 2 kB a
tenth of that.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from scaler.turns import Sample

# Must never change: what was packed with it could not be read any more. A better one needs a new
# version of the store.
_WORDS = (
    b'{"reasons":["steady","cpu_above_target","cpu_above_target_not_sustained","cpu_fits_one'
    b'_fewer","none_active","pool_in_transition","demand","signal_unknown","no_signal","with'
    b'in_tolerance","out_window","in_window","in_window_filling","out_cooldown","in_cooldown'
    b'","out_step","in_step","min","max","paused","fenced","hypervisor_unknown","fleet_unkno'
    b'wn","ceiling","no_domain_left","breaker_open","breaker_probe","domains_leaving","scale'
    b'_out","scale_in","demand_returned","cordoned_needed","cordoned_surplus","drain_resumed'
    b'","drained","drain_deadline","worker_gone","shutdown_resent","shutdown_deadline","boot'
    b'_deadline","worker_silent","guest_crashed","boot_finished","off_reached"],"inputs":{"d'
    b'omains":[{"name":"vs-1","state":"ready","lifecycle":"running","cause":"booted","operat'
    b'ion":["shutdown",1.0,1],"token":1,"in_flight":"start","has_session":true},{"name":"vs-'
    b'2","state":"off","lifecycle":"off","cause":"shutdown"}],"workers":[{"id":"vs-1","state'
    b'":"ready","slots":1,"busy_slots":0,"leases":0,"connected":1.0,"oldest_lease":0.1}]},"s'
    b'hadows":[],"choices":{"direction":"out","chosen":[],"others":[{"why":"serving"}]},"win'
    b'dows":{"out_lowest":1,"in_highest":1,"watching_since":1700000000.0,"last_out":null,"la'
    b'st_in":null,"breaker_failures":0,"breaker_until":null},"held":[{"reason":"in_window","'
    b'until":1700000000.0}],"dry_run":false,"config":"","type":"decision","time":1700000000.'
    b'0,"reason":"steady","desired":1,"current":1,"recommended":1,"states":{"off":1,"ready":'
    b'1},"signals":{"cpu":{"kind":"known","value":0.5,"age_seconds":1.0},"demand":{"kind":"k'
    b'nown","value":1.0,"age_seconds":1.0},"demand_average":{"kind":"known","value":1.0,"age'
    b'_seconds":1.0}},"proposals":[{"policy":"reference","reason":"steady","desired":1,"low"'
    b':1,"high":1,"complete":true},{"policy":"backlog","reason":"demand"}],"steps":[{"reason'
    b'":"in_window","before":1,"after":2}],"actions":[{"action":"start","domain":"vs-1","rea'
    b'son":"scale_out"}],"limits":[],"incidents":[],"hold":null,"errors":[]}'
)


def pack(body: Mapping[str, Any]) -> bytes:
    """A body as bytes."""
    deflate = zlib.compressobj(level=6, zdict=_WORDS)
    text = json.dumps(body, separators=(",", ":")).encode()
    return deflate.compress(text) + deflate.flush()


def unpack(packed: bytes) -> dict[str, Any]:
    """The inverse of `pack`."""
    inflate = zlib.decompressobj(zdict=_WORDS)
    found: dict[str, Any] = json.loads(inflate.decompress(packed) + inflate.flush())
    return found


def pack_samples(samples: Sequence[Sample]) -> bytes:
    """Samples by columns, because neighbours in a column resemble each other."""
    first = samples[0].time
    names = samples[0].values
    columns = {
        "first": first,
        "milliseconds": [
            round((one.time - before.time) * 1000)
            for before, one in zip([samples[0], *samples], samples, strict=False)
        ],
        "until": [one.until for one in samples],
        "values": {name: [one.values[name][0] for one in samples] for name in names},
        "ages": {name: [one.values[name][1] for one in samples] for name in names},
    }
    return zlib.compress(json.dumps(columns, separators=(",", ":")).encode(), 6)


def unpack_samples(packed: bytes | None) -> list[Sample]:
    """The inverse of `pack_samples`."""
    if packed is None:
        return []
    columns = json.loads(zlib.decompress(packed))
    samples: list[Sample] = []
    elapsed = 0
    for index, until in enumerate(columns["until"]):
        elapsed += columns["milliseconds"][index]
        values = {
            name: (column[index], columns["ages"][name][index])
            for name, column in columns["values"].items()
        }
        samples.append(Sample(round(columns["first"] + elapsed / 1000, 3), until, values))
    return samples
