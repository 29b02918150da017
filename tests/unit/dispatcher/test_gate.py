import hashlib

from prometheus_client import CollectorRegistry

from dispatcher.access import Refusal, Role, Token
from dispatcher.gate import Gate, Refusals
from dispatcher.telemetry import Telemetry
from tests.simulation.clock import VirtualClock

METHOD = "/virtscale.v1.LicenseService/GetJob"


def token(name: str, until: float | None = None) -> Token:
    digest = hashlib.sha256(name.encode()).digest()
    return Token(name, frozenset({Role.READ}), digest, until)


def gate_with(clock: VirtualClock, *tokens: Token) -> tuple[Gate, list[float]]:
    refusals = Refusals(Telemetry(CollectorRegistry()), clock)
    gate = Gate(tokens=tokens, has_certificates=False, refusals=refusals, clock=clock)
    changes: list[float] = []
    gate.on_change = lambda: changes.append(clock.wall())
    return gate, changes


def refusal(gate: Gate, name: str) -> Refusal | None:
    denied = gate.judge(METHOD, f"Bearer {name}")
    return None if denied is None else denied.refusal


def test_new_tokens_count_at_once_and_are_told():
    gate, changes = gate_with(VirtualClock(), token("a"))
    assert refusal(gate, "a") is None
    gate.renew((token("b"),))
    assert len(changes) == 1
    assert refusal(gate, "a") is Refusal.UNKNOWN_TOKEN
    assert refusal(gate, "b") is None


def test_the_end_of_a_token_is_told_once():
    clock = VirtualClock()
    gate, changes = gate_with(clock, token("a", clock.wall() + 10), token("b"))
    clock.advance(9.5)
    gate.look()
    assert not changes
    clock.advance(1.0)
    gate.look()
    gate.look()
    assert len(changes) == 1
    assert refusal(gate, "a") is Refusal.EXPIRED_TOKEN
