"""Why: every decision, limit and action names one of these. They are log values and metric labels.

Tests, dashboards and scripts depend on the values; add, but do not rename.
"""

from enum import StrEnum


class Reason(StrEnum):
    """One word for one cause."""

    # What a policy found.
    STEADY = "steady"
    CPU_ABOVE_TARGET = "cpu_above_target"
    CPU_ABOVE_TARGET_NOT_SUSTAINED = "cpu_above_target_not_sustained"
    CPU_FITS_ONE_FEWER = "cpu_fits_one_fewer"
    NONE_ACTIVE = "none_active"
    POOL_IN_TRANSITION = "pool_in_transition"
    DEMAND = "demand"
    SIGNAL_UNKNOWN = "signal_unknown"
    WAIT_GOAL = "wait_goal"
    TARGET = "target"
    DOMAINS_NOT_REPORTING = "domains_not_reporting"
    SCHEDULE = "schedule"
    OUTSIDE_SCHEDULE = "outside_schedule"
    SEASONAL = "seasonal"
    SEASONAL_HISTORY_TOO_SHORT = "seasonal_history_too_short"

    # What changed or held the recommendation on its way to the desired capacity.
    NO_SIGNAL = "no_signal"
    HEADROOM = "headroom"
    WITHIN_TOLERANCE = "within_tolerance"
    OUT_WINDOW = "out_window"
    IN_WINDOW = "in_window"
    IN_WINDOW_FILLING = "in_window_filling"
    OUT_COOLDOWN = "out_cooldown"
    IN_COOLDOWN = "in_cooldown"
    OUT_STEP = "out_step"
    IN_STEP = "in_step"
    MIN = "min"
    MAX = "max"

    # What kept a plan from reaching the desired capacity.
    PAUSED = "paused"
    FENCED = "fenced"
    HYPERVISOR_UNKNOWN = "hypervisor_unknown"
    FLEET_UNKNOWN = "fleet_unknown"
    CEILING = "ceiling"
    NO_DOMAIN_LEFT = "no_domain_left"
    BREAKER_OPEN = "breaker_open"
    BREAKER_PROBE = "breaker_probe"
    DOMAINS_LEAVING = "domains_leaving"
    ROLLOUT_NO_ROOM = "rollout_no_room"
    ROLLOUT_GIVEN_UP = "rollout_given_up"

    # Why a domain gets an action.
    SCALE_OUT = "scale_out"
    SCALE_IN = "scale_in"
    DEMAND_RETURNED = "demand_returned"
    CORDONED_NEEDED = "cordoned_needed"
    CORDONED_SURPLUS = "cordoned_surplus"
    DRAIN_RESUMED = "drain_resumed"
    DRAINED = "drained"
    DRAIN_DEADLINE = "drain_deadline"
    WORKER_GONE = "worker_gone"
    SHUTDOWN_RESENT = "shutdown_resent"
    SHUTDOWN_DEADLINE = "shutdown_deadline"
    BOOT_DEADLINE = "boot_deadline"
    WORKER_SILENT = "worker_silent"
    GUEST_CRASHED = "guest_crashed"
    BOOT_FINISHED = "boot_finished"
    OFF_REACHED = "off_reached"
    ROLLOUT_SURGE = "rollout_surge"
    ROLLOUT_REPLACES = "rollout_replaces"
    DEFINITION_PROVED = "definition_proved"
    GENERATION_GIVEN_UP = "generation_given_up"
