"""The seam between policies and decisions: every policy is asked in turn, whatever its kind.

A policy is any value with the shape of `Policy`. Those that exist are in `scaler.policies`.
"""

from collections.abc import Mapping, Sequence

from scaler.policies.backlog import DEMAND, DEMAND_AVERAGE, BacklogPolicy
from scaler.policies.proposal import (
    Policy,
    PolicyContext,
    PolicyMemory,
    Proposal,
    Readings,
    Sustained,
    exactly,
)
from scaler.policies.reference import CPU, ReferencePolicy
from scaler.reasons import Reason


def propose(
    policy: Policy, readings: Readings, context: PolicyContext, memory: PolicyMemory | None
) -> tuple[Proposal, PolicyMemory | None]:
    """The policy's proposal, and what it must remember for the next turn."""
    return policy.propose(readings, context, memory)


def recommend(
    policies: Sequence[Policy],
    readings: Readings,
    context: PolicyContext,
    memories: Mapping[str, PolicyMemory],
) -> tuple[tuple[Proposal, ...], dict[str, PolicyMemory]]:
    """What every policy proposes, and what they remember, by name."""
    proposals: list[Proposal] = []
    remembered: dict[str, PolicyMemory] = {}
    for policy in policies:
        proposal, memory = propose(policy, readings, context, memories.get(policy.name))
        proposals.append(proposal)
        if memory is not None:
            remembered[policy.name] = memory
    return _standing_by(policies, proposals), remembered


def cause(known: Sequence[Proposal]) -> Reason:
    """The reason of the highest wish; of equal ones not that of a fallback that stands by."""
    return max(known, key=lambda one: (one.desired or 0, one.reason is not Reason.STANDS_BY)).reason


def _standing_by(policies: Sequence[Policy], proposals: list[Proposal]) -> tuple[Proposal, ...]:
    """Fallbacks wish for nothing while all others know.

    What they do not know still holds a scale-in, and while another does not know their wish is one
    like any other: since no scale-in is possible then, it can only raise.
    """
    others = [
        proposal
        for policy, proposal in zip(policies, proposals, strict=True)
        if not policy.is_fallback
    ]
    if not others or not all(one.is_complete for one in others):
        return tuple(proposals)
    return tuple(
        exactly(proposal.policy, Reason.STANDS_BY, 0, is_complete=proposal.is_complete)
        if policy.is_fallback and proposal.desired is not None
        else proposal
        for policy, proposal in zip(policies, proposals, strict=True)
    )


__all__ = [
    "CPU",
    "DEMAND",
    "DEMAND_AVERAGE",
    "BacklogPolicy",
    "Policy",
    "PolicyContext",
    "PolicyMemory",
    "Proposal",
    "Readings",
    "ReferencePolicy",
    "Sustained",
    "cause",
    "propose",
    "recommend",
]
