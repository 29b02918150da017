"""Spare domains on top of what the load needs."""

from collections.abc import Sequence
from dataclasses import replace

from scaler.policies.proposal import Headroom, Proposal

__all__ = ["Headroom", "with_headroom"]


def with_headroom(proposals: Sequence[Proposal], headroom: Headroom) -> tuple[Proposal, ...]:
    """The proposals with headroom on those that take it."""
    if not headroom.domains and not headroom.ratio:
        return tuple(proposals)
    return tuple(_raised(proposal, headroom) for proposal in proposals)


def _raised(proposal: Proposal, headroom: Headroom) -> Proposal:
    desired, low, high = proposal.desired, proposal.low, proposal.high
    if not proposal.takes_headroom or desired is None or low is None or high is None:
        return proposal
    return replace(
        proposal,
        desired=desired + headroom.on(desired),
        low=low + headroom.on(low),
        high=high + headroom.on(high),
    )
