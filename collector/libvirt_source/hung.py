"""Which domains leave questions unanswered. Pure.

virDomainGetControlInfo tells without asking the QEMU, and without waiting, how long somebody's
question has been open.
"""

from collections.abc import Mapping

from collector.records import Control

_OCCUPIED = 2
"""VIR_DOMAIN_CONTROL_OCCUPIED: a question waits for an answer."""


def is_hung(control: Control | None, patience_seconds: float) -> bool:
    """True when a question has been open for longer than an answer may take."""
    return (
        control is not None and control.state == _OCCUPIED and control.seconds >= patience_seconds
    )


def still_hung(
    known: Mapping[str, int],
    numbers: Mapping[str, int],
    controls: Mapping[str, Control],
    patience_seconds: float,
) -> dict[str, int]:
    """Those of the known hung domains (number by UUID) that are still not to be asked.

    A domain that was started anew, or whose question has been answered, is whole again; also when
    the next question is open already, which shows in a shorter time.
    """
    return {
        uuid: number
        for uuid, number in known.items()
        if numbers.get(uuid) == number and is_hung(controls.get(uuid), patience_seconds)
    }
