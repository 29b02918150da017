"""Shadow policies: what other rules would want of the same pool. Pure; nothing comes of it.

A shadow sees what the scaler saw and has a memory of its own, but the pool is the real one: its
last changes of capacity are those that the scaler made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from scaler import recommendation
from scaler.decision import Decision, Observation, Settings, State, wish
from scaler.reasons import Reason


@dataclass(frozen=True, slots=True)
class Shadow:
    """A name and the rules to be tried: policies and limits of `settings`."""

    name: str
    settings: Settings


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a shadow would have wanted. `desired` is None when it could not tell."""

    shadow: str
    desired: int | None
    reason: Reason
    error: str = ""
    """Set when its rules failed."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What one shadow remembers between turns."""

    state: State = field(default_factory=State)


def judge(
    shadow: Shadow,
    memory: Memory,
    before: State,
    after: State,
    decision: Decision,
    observation: Observation,
) -> tuple[Memory, Verdict]:
    """One shadow's opinion of a turn that was decided; `before` and `after` are its states."""
    if decision.desired is None:
        return memory, Verdict(shadow.name, None, decision.reason)
    own = memory.state
    # In this turn the scaler may have acted: to the shadow that is the future.
    real = before.memory
    lent = replace(
        after,
        memory=replace(
            own.memory,
            last_out_at=real.last_out_at,
            last_in_at=real.last_in_at,
            outs=real.outs,
            ins=real.ins,
        ),
        policy_memory=own.policy_memory,
        # What a saturated host withholds follows from the real pool, not from anybody's wish.
        saturation=before.saturation,
    )
    lent, proposals, stabilised = wish(
        shadow.settings, lent, decision.pool, observation, decision.at
    )
    reason = stabilised.steps[-1].reason if stabilised.steps else Reason.STEADY
    known = [one for one in proposals if one.desired is not None]
    if stabilised.desired != decision.pool.current and known and not stabilised.steps:
        reason = recommendation.cause(known)
    return Memory(lent), Verdict(shadow.name, stabilised.desired, reason)


class Shadows:
    """All shadows of a pool with their memories. One that fails says so and is asked again."""

    def __init__(
        self,
        shadows: Sequence[Shadow] = (),
        on_verdicts: Callable[[tuple[Verdict, ...]], None] = lambda _verdicts: None,
    ) -> None:
        """`on_verdicts` hears of every turn's."""
        self._shadows = tuple(shadows)
        self._on_verdicts = on_verdicts
        self._memories: dict[str, Memory] = {}

    def replace(self, shadows: Sequence[Shadow]) -> None:
        """Judges by other rules from now on; a name that stays keeps its memory."""
        self._shadows = tuple(shadows)

    def judge(
        self, before: State, after: State, decision: Decision, observation: Observation
    ) -> tuple[Verdict, ...]:
        """One verdict per shadow, in their order."""
        verdicts = []
        for shadow in self._shadows:
            memory = self._memories.get(shadow.name, Memory())
            try:
                memory, verdict = judge(shadow, memory, before, after, decision, observation)
            except Exception as error:
                # Rules on trial must not disturb those in force, whatever is wrong with them.
                memory = Memory()
                verdict = Verdict(shadow.name, None, Reason.NO_SIGNAL, f"{error!r:.200}")
            self._memories[shadow.name] = memory
            verdicts.append(verdict)
        self._on_verdicts(tuple(verdicts))
        return tuple(verdicts)
