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
)
from scaler.policies.reference import CPU, ReferencePolicy


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
    return tuple(proposals), remembered


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
    "propose",
    "recommend",
]
