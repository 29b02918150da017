"""How the end of an action changes what the scaler remembers. Pure.

Calls that libvirt refuses or does not answer end here; what becomes of a domain whose call was
carried out is told by the next observation.
"""

from dataclasses import replace

from scaler import tracking
from scaler.decision import ActionResult, Outcome, Settings, State, failed
from scaler.pool import ActionKind, DomainState
from scaler.tracking import Track

_FELL_BACK_TO = {
    ActionKind.PREPARE: DomainState.OFF,
    ActionKind.RESTORE: DomainState.OFF,
    ActionKind.RESUME: DomainState.STANDBY_PAUSED,
}
_NOT_SEEN_RUNNING = {
    DomainState.OFF,
    DomainState.STARTING,
    DomainState.STANDBY_PAUSED,
    DomainState.STANDBY_SAVED,
}
_HAS_BEGUN = {
    ActionKind.START: DomainState.BOOTING,
    ActionKind.PREPARE: DomainState.PREPARING,
    ActionKind.RESUME: DomainState.WAKING,
    ActionKind.RESTORE: DomainState.WAKING,
}


def feed(settings: Settings, state: State, result: ActionResult, now: float) -> State:
    """The state after an action has reported back."""
    memory = state.tracks.get(result.domain)
    if memory is None or memory.in_flight is not result.kind:
        # A cancelled drain reports after its cancellation took over the domain.
        return state
    memory = replace(memory, in_flight=None)
    if result.kind in tracking.BOOTS:
        answered = result.outcome in (Outcome.DONE, Outcome.FAILED)
        memory = replace(memory, is_start_answered=answered)
        if result.outcome is Outcome.RETRYABLE:
            # It may be carried out yet, also after somebody else has started the domain.
            memory = replace(memory, late_start_until=now + tracking.START_DOUBT_SECONDS)
    if result.outcome is not Outcome.DONE and result.kind in _FELL_BACK_TO:
        # The call's failure is what counts, not the state it leaves behind.
        memory = replace(memory, state=_FELL_BACK_TO[result.kind])
    if result.kind is ActionKind.RESUME:
        silent = result.outcome is Outcome.RETRYABLE
        memory = replace(memory, unanswered_wakes=memory.unanswered_wakes + 1 if silent else 0)
    if result.kind in _HAS_BEGUN and _has_failed(result, memory):
        failures = memory.failures + 1
        memory = replace(memory, failures=failures, unanswered_wakes=0, is_failure_counted=True)
        woken = result.kind in (ActionKind.RESUME, ActionKind.RESTORE)
        state = failed(settings, state, memory, now, is_wake=woken)
    elif _has_begun(result) and memory.state in _NOT_SEEN_RUNNING:
        # A guest that dies before the next look has failed to boot, not to start.
        memory = replace(memory, state=_HAS_BEGUN[result.kind])
    return replace(state, tracks={**state.tracks, result.domain: memory})


def _has_begun(result: ActionResult) -> bool:
    return result.kind in _HAS_BEGUN and result.outcome is Outcome.DONE


_MOST_UNANSWERED_WAKES = 2
"""A guest whose resume gets no answer so often will not serve those who wait for it."""


def _has_failed(result: ActionResult, memory: Track) -> bool:
    is_given_up = memory.unanswered_wakes >= _MOST_UNANSWERED_WAKES
    return result.outcome is Outcome.FAILED or is_given_up
