"""Every reason in words, for people. Pure."""

from collections.abc import Mapping
from typing import Any

SENTENCES: Mapping[str, str] = {
    "steady": "the load fits the domains that run",
    "cpu_above_target": "the mean CPU was above the target for long enough",
    "cpu_above_target_not_sustained": "the mean CPU is above the target, but not for long enough",
    "cpu_fits_one_fewer": "one domain fewer could carry the CPU load",
    "none_active": "no domain was running",
    "pool_in_transition": "the pool changed a moment ago, the mean CPU does not show it yet",
    "demand": "so many domains are needed for the jobs that wait and run",
    "signal_unknown": "a signal is unknown, and what is unknown never scales in",
    "wait_goal": "so many domains are needed to keep the wait short",
    "target": "so many domains bring the value to its target",
    "domains_not_reporting": "domains do not report, and what they may do changes the direction",
    "schedule": "a window of the schedule is open",
    "outside_schedule": "no window of the schedule is open",
    "seasonal": "so many domains were needed at this time of earlier days or weeks",
    "seasonal_history_too_short": "there is not enough history to know this time of the day",
    "stands_by": "it stands by while the other policies know the load",
    "no_signal": "no signal is known",
    "headroom": "spare domains on top of what the load needs",
    "within_tolerance": "the difference is too small to act on",
    "out_window": "the stabilization window has not seen it for long enough to scale out",
    "in_window": "within the stabilization window more domains were wanted",
    "in_window_filling": "the stabilization window for scaling in is not full yet",
    "out_cooldown": "it is too soon after the last scale-out",
    "in_cooldown": "it is too soon after the last change to scale in",
    "out_step": "not so many domains are started at once",
    "in_step": "not so many domains leave at once",
    "out_rate": "not so many domains are started in such a time",
    "in_rate": "not so many domains leave in such a time",
    "min": "the pool's minimum",
    "max": "the pool's maximum",
    "alert_floor": "an alert demands so many domains while it fires",
    "alert_raise": "an alert demands more domains than ran when it began",
    "alert_blocks_in": "an alert blocks scaling in while it fires",
    "override_hold": "a person holds the pool at that number",
    "override_floor": "a person has set a floor",
    "override_ceiling": "a person has set a ceiling",
    "override_blocks_in": "a person has blocked scaling in",
    "override_blocks_out": "a person has blocked scaling out",
    "host_saturated": "the last scale-out did not help: the host has no CPU time left to give",
    "paused": "scaling is paused",
    "domains_saved": "somebody saves domains, as a host does that shuts down",
    "fenced": "another scaler works on the domains",
    "hypervisor_unknown": "libvirt does not answer",
    "fleet_unknown": "the dispatcher does not answer",
    "ceiling": "as many domains as allowed exist in other states",
    "no_domain_left": "every defined domain runs already",
    "quarantined": "the domains that are left belong to another scaler",
    "breaker_open": "domains failed to boot; starts wait for the back-off to end",
    "breaker_probe": "domains failed to boot; one start is tried",
    "wakes_failed": "standby domains failed to wake: they come last, and none is prepared",
    "domains_leaving": "domains that leave have to be gone first",
    "rollout_no_room": "the maximum leaves no room to replace domains with an old image",
    "rollout_given_up": "the new image does not boot; domains are not replaced by it",
    "host_memory": "the host has no memory left for another domain",
    "host_disk": "the host's disk has no room for a saved image",
    "scale_out": "more domains are wanted than run",
    "scale_in": "fewer domains are wanted than run",
    "demand_returned": "the demand came back before it had left",
    "cordoned_needed": "it was cordoned and is needed again",
    "cordoned_surplus": "it was cordoned and nobody needs it",
    "drain_resumed": "its drain was cut off by a restart and goes on",
    "drained": "it holds no job any more",
    "drain_deadline": "the time to finish its jobs is over; they go to others",
    "worker_gone": "its worker has left",
    "shutdown_resent": "the guest did not react to the power button; it is pressed again",
    "shutdown_deadline": "the guest did not shut down in time",
    "boot_deadline": "its worker did not say Hello in time",
    "worker_silent": "it runs, but its worker has not been heard of for too long",
    "guest_crashed": "the guest crashed",
    "boot_finished": "its worker has said Hello",
    "off_reached": "it is off",
    "rollout_surge": "the first of the new image comes before an old one goes",
    "rollout_replaces": "it runs an old image",
    "definition_proved": "its definition works; a copy is kept to go back to",
    "generation_given_up": "its image does not boot; its definition is put back",
    "maintenance": "a person ordered it drained for maintenance",
    "unclaimed": "it carried no scaler's name; now it is ours",
    "standby_refill": "a standby domain is missing and nothing else goes on",
    "standby_ready": "it has booted and waits from now on",
    "standby_kept": "it is not needed and waits instead of shutting down",
    "standby_resumed": "its way into standby was cut off by a restart and goes on",
    "standby_surplus": "more wait than are wanted",
    "standby_too_old": "it has waited for too long and is made anew",
    "standby_outdated": "it waits with another image generation than is wanted",
    "wake_failed": "it could not be woken",
    "wake_deadline": "it was woken and its worker did not come back in time",
}

NOT_CHOSEN: Mapping[str, str] = {
    "serving": "serve already",
    "leaving": "are on their way out",
    "cordoned": "are cordoned",
    "paused": "were paused by somebody else",
    "failed": "have failed",
    "quarantined": "belong to another scaler",
    "standby": "are standby domains",
    "off": "are off",
    "busy_with_action": "have an action under way",
    "unsettled": "are off, but their last way down is not settled yet",
    "not_ready": "have no worker that takes jobs yet",
    "withheld": "could be taken, but nothing was done",
    "more_failures": "failed to boot more often",
    "more_leases": "hold more leases",
    "older_lease": "hold an older lease",
    "size_order": "are of a size that fits less well",
    "name_order": "are alike and come later by name",
}


def sentence(reason: Any) -> str:
    """A reason in words, with the name that logs and metrics use."""
    return f"{words(reason)} [{reason}]"


def words(reason: Any) -> str:
    """A reason in words alone."""
    return SENTENCES.get(str(reason), str(reason).replace("_", " "))


def signal_text(name: str, signal: Mapping[str, Any]) -> str:
    """`cpu 0.93`, or `cpu stale`."""
    value = signal.get("value")
    if value is None:
        return f"{name} {signal.get('kind', 'unknown')}"
    mark = "" if signal.get("kind") == "known" else f" ({signal.get('kind')})"
    return f"{name} {value:.2f}{mark}"


def count(value: Any) -> str:
    """A number of domains that may not be known."""
    return "unknown" if value is None else str(value)
