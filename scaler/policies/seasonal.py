"""As many domains as the same time of earlier days, or of earlier weeks, needed."""

from dataclasses import dataclass

from scaler.policies.proposal import PolicyContext, PolicyMemory, Proposal, Readings, exactly
from scaler.readings import Failed, is_complete, usable_value
from scaler.reasons import Reason

LEVEL = "level"
SEASONS = "seasons"

_MOST_SLOTS = 1e6


@dataclass(frozen=True, slots=True)
class SeasonalPolicy:
    """A quantile of what earlier seasons needed, in slots; off until there are enough of them.

    It may only raise: combined with others the highest wish counts, and without history it wishes
    for nothing and stands in nobody's way.
    """

    name: str = "seasonal"
    least_seasons: int = 3
    target_ratio: float = 0.8
    slots_per_domain: float = 1.0
    value_per_domain: float | None = None
    """What one domain carries of the signal; None: the signal is in slots."""

    @property
    def signals(self) -> tuple[str, ...]:
        """See `Policy.signals`."""
        return f"{self.name}.{LEVEL}", f"{self.name}.{SEASONS}"

    @property
    def is_fallback(self) -> bool:
        """Never: it only raises."""
        return False

    def propose(
        self, readings: Readings, context: PolicyContext, memory: PolicyMemory | None
    ) -> tuple[Proposal, PolicyMemory | None]:
        """See `Policy.propose`."""
        level, seasons = (readings.get(one, Failed("not read")) for one in self.signals)
        count = usable_value(seasons)
        if count is not None and count < self.least_seasons:
            short = Reason.SEASONAL_HISTORY_TOO_SHORT
            return exactly(self.name, short, 0, is_complete=is_complete(seasons)), None
        value = usable_value(level)
        if count is None or value is None:
            return Proposal(self.name, Reason.SIGNAL_UNKNOWN), None
        value = min(_MOST_SLOTS, max(0.0, value))
        complete = is_complete(level) and is_complete(seasons)
        wish = self._domains(value, context)
        return exactly(self.name, Reason.SEASONAL, wish, is_complete=complete), None

    def _domains(self, value: float, context: PolicyContext) -> int:
        capacity = context.pool.capacity(self.slots_per_domain)
        if self.value_per_domain is not None:
            value *= capacity.mean / self.value_per_domain
        return capacity.domains_for(value / self.target_ratio)


def history_queries(
    expression: str,
    *,
    quantile: float,
    seasons: int,
    season_seconds: int,
    lead_seconds: int,
    spread_seconds: int,
) -> tuple[str, str]:
    """PromQL for the level and for how many seasons are known.

    Of each of the last `seasons` the highest value from `spread_seconds` before this time of it to
    `lead_seconds` after counts: what is needed then takes time to start. Seasons are elapsed time,
    so for one season after a change of the clocks the local time is off by an hour.
    """
    span = lead_seconds + spread_seconds
    step = max(1, span // 20)
    peaks = " or ".join(
        f"label_replace(max_over_time(({expression}\n)[{span}s:{step}s] "
        f'offset {season * season_seconds - lead_seconds}s), "season", "{season}", "", "")'
        for season in range(1, seasons + 1)
    )
    return f"quantile({quantile:g}, {peaks})", f"count({peaks}) or vector(0)"
