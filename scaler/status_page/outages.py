"""Since when Prometheus, the dispatcher or libvirt has not answered. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scaler.readings import Failed, Reading

_OF_DISPATCHER = "dispatcher: "
"""How an error of the dispatcher begins; the others are libvirt's."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A source does not answer. `since` is the Unix time of the first turn without it."""

    since: float
    detail: str
    is_older: bool
    """It did not answer in the scaler's first turn either, so it may be away for longer."""


@dataclass(frozen=True, slots=True)
class Outages:
    """What does not answer; None: it does."""

    prometheus: Outage | None = None
    dispatcher: Outage | None = None
    libvirt: Outage | None = None
    has_begun: bool = False
    """A turn was seen."""


def after(
    before: Outages,
    readings: Mapping[str, Reading],
    *,
    has_fleet: bool,
    has_domains: bool,
    errors: Sequence[str],
    wall: float,
) -> Outages:
    """The outages after a turn."""

    def next_of(was: Outage | None, fault: str | None) -> Outage | None:
        if fault is None:
            return None
        if was is not None:
            return replace(was, detail=fault)
        return Outage(wall, fault, is_older=not before.has_begun)

    of_fleet = [one for one in errors if one.startswith(_OF_DISPATCHER)]
    of_libvirt = [one for one in errors if not one.startswith(_OF_DISPATCHER)]
    failed = [one.error for one in readings.values() if isinstance(one, Failed)]
    # One query that fails is that signal's fault; all of them, Prometheus's.
    is_away = bool(failed) and len(failed) == len(readings)
    return Outages(
        prometheus=next_of(before.prometheus, failed[0] if is_away else None),
        dispatcher=next_of(before.dispatcher, None if has_fleet else "; ".join(of_fleet)),
        libvirt=next_of(before.libvirt, None if has_domains else "; ".join(of_libvirt)),
        has_begun=True,
    )
