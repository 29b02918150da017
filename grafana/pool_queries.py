"""PromQL that the dashboards of a pool share: its domains, its dispatcher, what happened when."""

from grafana.panels import RATE

POOL = 'pool=~"$pool"'
DISPATCHERS = 'instance=~"$dispatcher"'
CAPACITY = "starting|booting|ready|silent|waking"
"""States that count as capacity: domains that work, or are expected to."""
STANDBY = "preparing|suspending|saving|standby_paused|standby_saved"
LEAVING = "cordoned|draining|shutting_down"
ASTRAY = "paused|failed|quarantined"
WITHOUT_MEMORY = "off|standby_saved|quarantined_off"
"""States that cost no machine time."""


def domains(states: str) -> str:
    """Domains of the pool in any of these states."""
    return f'sum(virtscale_scaler_domains{{{POOL}, state=~"{states}"}})'


def jobs(state: str) -> str:
    """Jobs of the dispatchers in a state."""
    return f'sum(virtscale_dispatcher_jobs{{{DISPATCHERS}, state="{state}"}})'


def rate(counter: str) -> str:
    """Of a dispatcher's counter, per second and over all dispatchers."""
    return f"sum(rate({counter}{{{DISPATCHERS}}}{RATE}))"


def quantile(share: float, histogram: str) -> str:
    """Of a dispatcher's histogram; absent while nothing is counted."""
    buckets = f"{histogram}_bucket{{{DISPATCHERS}}}{RATE}"
    return f"histogram_quantile({share}, sum by (le) (rate({buckets})))"


def happened(counter: str, labels: str, by: tuple[str, ...], zero: str) -> str:
    """How often, by label; only what happened within the range, and `none` when nothing did.

    Counters that appear with their first event are taken at their word then. `zero` is a series
    that is there whenever the counter's service is.
    """
    series, names = f"{counter}{{{labels}}}", ", ".join(by)
    within = (
        f"sum by ({names}) (increase({series}[$__range] @ end()) > 0 or"
        f" ({series} @ end() > 0 unless {series} @ end() offset $__range))"
    )
    nothing = f"0 * max({zero})"
    for name in by:
        nothing = f'label_replace({nothing}, "{name}", "none", "", "")'
    return (
        f"(sum by ({names}) (increase({series}{RATE}) or"
        f" ({series} unless {series} offset $__rate_interval))"
        f" and on ({names}) {within}) or ({nothing} unless on () {within})"
    )
