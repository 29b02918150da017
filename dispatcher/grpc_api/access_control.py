"""Calls that the gate does not let through end here, before anything of them is read."""

from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from dispatcher import access
from dispatcher.access import Denied, Refusal
from dispatcher.gate import Gate
from dispatcher.grpc_server.calls import Arrival, RefusedCall
from dispatcher.grpc_server.heads import Metadata
from dispatcher.grpc_server.service import Resolve

_CODES = {
    Refusal.MISSING_ROLE: grpc.StatusCode.PERMISSION_DENIED,
    Refusal.WRONG_LISTENER: grpc.StatusCode.UNIMPLEMENTED,
}


class AccessControl:
    """Asks the gate about each call."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def __call__(self, following: Resolve) -> Resolve:
        """See `grpc_server.service.Service`."""

        def resolve(arrival: Arrival) -> Any:
            if (refused := self.refusal(arrival)) is not None:
                return refused
            handler = following(arrival)
            if handler is None and (misplaced := access.wrong_listener(arrival.method)):
                return self._refused(arrival, misplaced)
            return handler

        return resolve

    def refusal(self, arrival: Arrival) -> RefusedCall | None:
        """How a call ends that may not be, by the tokens as they are now; None when it may be."""
        if self._gate.is_open or not access.is_for_clients(arrival.method):
            return None
        names: Sequence[str] = ()
        if self._gate.has_certificates:
            _, names = peer_names(arrival.peer.facts)
        authorization = _authorization(arrival.invocation_metadata)
        denied = self._gate.judge(arrival.method, authorization, names)
        return None if denied is None else self._refused(arrival, denied)

    def _refused(self, arrival: Arrival, denied: Denied) -> RefusedCall:
        self._gate.refusals.note(
            "call.refused", denied.refusal, method=arrival.method, peer=arrival.peer.name
        )
        code = _CODES.get(denied.refusal, grpc.StatusCode.UNAUTHENTICATED)
        return RefusedCall(code.value[0], denied.text)


def peer_names(facts: Mapping[str, Sequence[bytes]]) -> tuple[str, list[str]]:
    """Common name, and alternative names that are URIs, of the peer's certificate; may be empty.

    Only URIs: a name of ours must not come in as a host name, which authorities check otherwise.
    """
    common = facts.get("x509_common_name") or [b""]
    names = facts.get("peer_uri") or []
    return common[0].decode("utf-8", "replace"), [name.decode("utf-8", "replace") for name in names]


def has_certificate(facts: Mapping[str, Sequence[bytes]]) -> bool:
    """True when the peer has shown a certificate of an authority that this listener trusts."""
    return bool(facts.get("x509_pem_cert"))


def _authorization(metadata: Metadata) -> str | None:
    values = [value for key, value in metadata if key == "authorization"]
    if not values:
        return None
    return str(values[0]) if len(values) == 1 else ""
