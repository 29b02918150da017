"""Domains, workers and pools in few words."""

from types import SimpleNamespace

import pytest

from scaler.pool import (
    DomainRecord,
    DomainState,
    DomainView,
    Lifecycle,
    Operation,
    OperationKind,
    PoolView,
    WorkerRecord,
    WorkerState,
)

_LIFECYCLES = {DomainState.OFF: Lifecycle.OFF, DomainState.STARTING: Lifecycle.OFF}


def operation(kind, since=0.0, token=1):
    return None if kind is None else Operation(OperationKind(kind), since, token)


def worker(name, state="ready", leases=0, slots=1, oldest=None, connected=0.0):
    return WorkerRecord(
        worker_id=name,
        state=WorkerState(state),
        slots=slots,
        leases=leases,
        connected_since=None if state == "disconnected" else connected,
        oldest_lease_since=oldest,
    )


def view(name, state, **fields):
    state = DomainState(state)
    if "leases" in fields or "worker_state" in fields:
        fields["worker"] = worker(
            name,
            fields.pop("worker_state", "ready"),
            fields.pop("leases", 0),
            oldest=fields.pop("oldest", None),
        )
    fields.setdefault("lifecycle", _LIFECYCLES.get(state, Lifecycle.RUNNING))
    return DomainView(name, state, **fields)


def record(name, lifecycle="off", op=None, since=0.0, cause="", token=0):
    return DomainRecord(name, Lifecycle(lifecycle), cause, operation(op, since), token)


@pytest.fixture
def make():
    return SimpleNamespace(
        operation=operation,
        worker=worker,
        view=view,
        record=record,
        pool=lambda *views: PoolView.of(list(views)),
    )
