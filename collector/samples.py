"""What a domain's statistics mean: whether it is active, and whether anything is missing. Pure."""

from enum import IntEnum

from collector.records import DomainRecord, Group, Statistics

_SECTOR_COUNTERS_OF_DISK = "rd.reqs"


class State(IntEnum):
    """libvirt's virDomainState."""

    NO_STATE = 0
    RUNNING = 1
    BLOCKED = 2
    PAUSED = 3
    SHUTDOWN = 4
    SHUTOFF = 5
    CRASHED = 6
    PMSUSPENDED = 7


_INACTIVE = (State.NO_STATE, State.SHUTOFF, State.CRASHED)
_WORDS = {
    State.NO_STATE: "no state",
    State.RUNNING: "the domain is running",
    State.BLOCKED: "the domain is blocked on resource",
    State.PAUSED: "the domain is paused by user",
    State.SHUTDOWN: "the domain is being shut down",
    State.SHUTOFF: "the domain is shut off",
    State.CRASHED: "the domain is crashed",
    State.PMSUSPENDED: "the domain is suspended by guest power management",
}


def state_words(state: int) -> str:
    """A state as other exporters put it in words; for one that is not known, its number."""
    return next((text for one, text in _WORDS.items() if one == state), f"state {state}")


def is_active(statistics: Statistics) -> bool:
    """True when the domain has a hypervisor process: running, paused, shutting down, suspended."""
    state = _integer(statistics, "state.state")
    return state is not None and state not in _INACTIVE


def is_complete(statistics: Statistics, groups: frozenset[Group] | None = None) -> bool:
    """False for an active domain whose record lacks what only its hypervisor can tell.

    libvirt leaves those fields out without a word while another call holds the domain. Then the
    counters of disks are missing, and the resident size, which is there for domains without disks.
    With `groups`, only what these would have brought counts; None stands for all.
    """
    if not is_active(statistics):
        return True
    if (groups is None or Group.CPU in groups) and "cpu.time" not in statistics:
        return False
    if (groups is None or Group.BALLOON in groups) and "balloon.rss" not in statistics:
        return False
    if groups is not None and not groups & {Group.BLOCK, Group.BLOCK_TRAFFIC}:
        return True
    disks = range(_integer(statistics, "block.count") or 0)
    return all(f"block.{number}.{_SECTOR_COUNTERS_OF_DISK}" in statistics for number in disks)


def lacks_bulk_statistics(statistics: Statistics) -> bool:
    """True when the driver gave the state and nothing else: it has no bulk statistics."""
    return not any(key.startswith(("cpu.", "vcpu.", "balloon.")) for key in statistics)


def has_extras(record: DomainRecord) -> bool:
    """True when there is more than the bulk query's record; see `numbers`."""
    return bool(record.job or record.io_limits or record.control)


def numbers(record: DomainRecord) -> Statistics:
    """Everything that is a number about the domain, under one scheme of keys.

    Those of the bulk query as they are; `job.`, `limit.DEVICE.` and `control.` before the others.
    A job of type 0 is none. A domain that libvirt says nothing about is left with its state.
    """
    found = dict(record.statistics)
    if record.job and record.job.get("type", 1) != 0:
        found |= {f"job.{key}": value for key, value in record.job.items()}
    for device, limits in record.io_limits.items():
        found |= {f"limit.{device}.{key}": value for key, value in limits.items()}
    if record.control is not None:
        found["control.state"] = record.control.state
        found["control.milliseconds"] = round(record.control.seconds * 1000)
    return found


def _integer(statistics: Statistics, key: str) -> int | None:
    value = statistics.get(key)
    return value if isinstance(value, int) else None
