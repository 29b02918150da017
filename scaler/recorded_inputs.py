"""What a turn was decided from, as plain data and back again, so that it can be decided anew. Pure.

Moments become ages (seconds before the turn), because the scaler's clock starts anew with the host.
Fields that have their default are left out: a thousand domains that are off are a thousand names.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from scaler.alerts import NO_ALERTS, Base, Firing, Sight
from scaler.decision import Hold, Observation
from scaler.host_room import HostRoom
from scaler.overrides import NO_ORDERS, Orders, OverrideKind
from scaler.pool import (
    ActionKind,
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
from scaler.readings import Empty, Failed, Known, NotANumber, Partial, Reading, Stale

_ROOM = ("memory_bytes", "memory_available_bytes", "disk_free_bytes")
_WORKER_SHAPE = attrgetter("worker_id", "state", "slots")
_DIGITS = 6
"""Of a value: rounding to so many keeps any threshold that a person writes on its side."""


def compact(value: float) -> float:
    """A value with as many digits as decisions need."""
    return float(f"{value:.{_DIGITS}g}")


def compact_age(seconds: float) -> float:
    """An age to a tenth of a second: its kind (known, stale) is kept apart and exact."""
    return round(seconds, 1)


def inputs(observation: Observation, pool: PoolView, now: float) -> dict[str, Any] | None:
    """Domains, workers, orders and alerts as they were at `now`. None: libvirt did not answer."""
    if observation.domains is None:
        return None
    records = {record.name: record for record in observation.domains}
    domains = [_domain(view, records.get(view.name), now) for view in pool.domains]
    workers = observation.workers
    found: dict[str, Any] = {
        "domains": domains,
        "workers": None if workers is None else [_worker(one, now) for one in workers],
    }
    if observation.orders != NO_ORDERS:
        found["orders"] = _orders(observation.orders)
    if observation.alerts != NO_ALERTS:
        found["alerts"] = _alerts(observation.alerts, now)
    if observation.room is not None:
        found["room"] = [getattr(observation.room, name) for name in _ROOM]
    return found


def shape(observation: Observation) -> tuple[object, ...]:
    """What must be equal in two turns for the inputs of the first to stand for the second.

    Leases come and go within a turn's worth of work and decide only which domain leaves; the turn
    in which one leaves is always kept in full. The same holds for the host's room.
    """
    workers = observation.workers
    return (
        observation.domains,
        None if workers is None else tuple(map(_WORKER_SHAPE, workers)),
        observation.orders,
        observation.alerts,
    )


def observation(
    record: Mapping[str, Any], readings: Mapping[str, Reading], wall: float | None = None
) -> Observation:
    """What was observed, on a clock that shows Unix time; `readings` are those of the turn.

    `wall` is the turn's time where the record is that of an earlier turn of its run.

    Raises:
        ValueError: the record is not one of a turn with its inputs.

    """
    found, time = _found(record)
    hold = record.get("hold")
    workers = None if found is None else found.get("workers")
    try:
        return Observation(
            domains=None
            if found is None
            else tuple(_domain_record(one, time) for one in found["domains"]),
            workers=None
            if workers is None
            else tuple(_worker_record(one, time) for one in workers),
            readings=readings,
            hold=None if hold is None else Hold(hold["author"], hold["reason"]),
            errors=tuple(record.get("errors", ())),
            wall=time if wall is None else wall,
            # Not in the records of older versions.
            orders=_given_orders(None if found is None else found.get("orders")),
            room=_room(None if found is None else found.get("room")),
            alerts=_sight(None if found is None else found.get("alerts"), time),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"the record of a turn cannot be read: {error!r}") from None


def pool(record: Mapping[str, Any]) -> PoolView | None:
    """The pool as the scaler saw it in the turn; None: the hypervisor did not answer.

    Raises:
        ValueError: the record is not one of a turn with its inputs.

    """
    found, time = _found(record)
    if found is None:
        return None
    try:
        workers = {one["id"]: _worker_record(one, time) for one in (found.get("workers") or ())}
        return PoolView.of([_domain_view(one, workers, time) for one in found["domains"]])
    except (KeyError, TypeError) as error:
        raise ValueError(f"the record of a turn cannot be read: {error!r}") from None


def reading(signal: Mapping[str, Any]) -> Reading:
    """The inverse of `readings.describe`."""
    match signal.get("kind"):
        case "known":
            return Known(signal["value"], signal["age_seconds"])
        case "partial":
            return Partial(signal["value"], signal["age_seconds"], signal.get("detail", ""))
        case "empty":
            return Empty()
        case "nan":
            return NotANumber()
        case "stale":
            return Stale(signal.get("age_seconds"))
        case _:
            return Failed(str(signal.get("detail", "not recorded")))


def _found(record: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, float]:
    if "inputs" not in record:
        raise ValueError("the record holds no inputs")
    return record["inputs"], float(record["time"])


def _domain(view: DomainView, record: DomainRecord | None, now: float) -> dict[str, Any]:
    operation = view.operation
    found: dict[str, Any] = {
        "name": view.name,
        "state": view.state.value,
        "lifecycle": view.lifecycle.value,
        "cause": view.cause,
        "operation": None
        if operation is None
        else [operation.kind.value, round(now - operation.since, 3), operation.token],
        "token": 0 if record is None else record.token,
        "in_flight": None if view.in_flight is None else view.in_flight.value,
        "failures": view.failures,
        "shutdown_sent": _age(view.shutdown_sent_at, now),
        "silent": _age(view.silent_since, now),
        "has_session": None if view.worker is None else True,
        "generation": view.generation,
        "defined_generation": view.defined_generation,
        "kept_generation": view.kept_generation,
        "saved_image": True if record is not None and record.has_saved_image else None,
        "memory": view.memory_bytes,
        "foreign_scaler": view.foreign_scaler,
        "unclaimed": True if view.is_unclaimed else None,
        "start_doubtful": True if view.is_start_doubtful else None,
    }
    return {name: value for name, value in found.items() if value not in (None, 0, "")}


def _worker(worker: WorkerRecord, now: float) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": worker.worker_id,
        "state": worker.state.value,
        "slots": worker.slots,
        "busy_slots": worker.busy_slots,
        "leases": worker.leases,
    }
    ages = {
        "connected": _age(worker.connected_since, now),
        "oldest_lease": _age(worker.oldest_lease_since, now),
        "silent": worker.silent_seconds,
    }
    return found | {name: age for name, age in ages.items() if age is not None}


def _room(found: Sequence[int | None] | None) -> HostRoom | None:
    return None if found is None else HostRoom(**dict(zip(_ROOM, found, strict=True)))


def _orders(orders: Orders) -> dict[str, Any]:
    found: dict[str, Any] = {
        "held_at": orders.held_at,
        "floor": orders.floor,
        "ceiling": orders.ceiling,
        "blocks_out": orders.blocks_out or None,
        "blocks_in": orders.blocks_in or None,
        "dry_run": orders.is_dry_run or None,
        "drained": sorted(orders.drained) or None,
        "kinds": sorted(kind.value for kind in orders.kinds),
    }
    return {name: value for name, value in found.items() if value is not None}


def _given_orders(found: Mapping[str, Any] | None) -> Orders:
    if found is None:
        return NO_ORDERS
    return Orders(
        held_at=found.get("held_at"),
        floor=found.get("floor"),
        ceiling=found.get("ceiling"),
        blocks_out=found.get("blocks_out", False),
        blocks_in=found.get("blocks_in", False),
        is_dry_run=found.get("dry_run", False),
        drained=frozenset(found.get("drained", ())),
        kinds=frozenset(OverrideKind(kind) for kind in found.get("kinds", ())),
    )


def _alerts(sight: Sight, now: float) -> dict[str, Any]:
    return {
        "firing": [[one.fingerprint, dict(one.labels)] for one in sight.firing],
        "bases": {
            rule: [base.domains, _age(base.released_at, now)] for rule, base in sight.bases.items()
        },
    }


def _sight(found: Mapping[str, Any] | None, time: float) -> Sight:
    if found is None:
        return NO_ALERTS
    return Sight(
        tuple(Firing(fingerprint, labels) for fingerprint, labels in found["firing"]),
        {
            rule: Base(domains, _moment(released, time))
            for rule, (domains, released) in found["bases"].items()
        },
    )


def _age(moment: float | None, now: float) -> float | None:
    return None if moment is None else round(now - moment, 3)


def _moment(age: float | None, time: float) -> float | None:
    return None if age is None else time - age


def _operation(found: Mapping[str, Any], time: float) -> Operation | None:
    operation = found.get("operation")
    if operation is None:
        return None
    kind, age, token = operation
    return Operation(OperationKind(kind), time - age, token)


def _domain_record(found: Mapping[str, Any], time: float) -> DomainRecord:
    return DomainRecord(
        name=found["name"],
        lifecycle=Lifecycle(found["lifecycle"]),
        cause=found.get("cause", ""),
        operation=_operation(found, time),
        token=found.get("token", 0),
        generation=found.get("generation", ""),
        defined_generation=found.get("defined_generation", ""),
        kept_generation=found.get("kept_generation", ""),
        has_saved_image=bool(found.get("saved_image")),
        memory_bytes=found.get("memory", 0),
        foreign_scaler=found.get("foreign_scaler", ""),
        is_unclaimed=bool(found.get("unclaimed")),
    )


def _domain_view(
    found: Mapping[str, Any], workers: Mapping[str, WorkerRecord], time: float
) -> DomainView:
    in_flight = found.get("in_flight")
    return DomainView(
        name=found["name"],
        state=DomainState(found["state"]),
        lifecycle=Lifecycle(found["lifecycle"]),
        cause=found.get("cause", ""),
        operation=_operation(found, time),
        worker=workers.get(found["name"]) if found.get("has_session") else None,
        in_flight=None if in_flight is None else ActionKind(in_flight),
        failures=found.get("failures", 0),
        shutdown_sent_at=_moment(found.get("shutdown_sent"), time),
        silent_since=_moment(found.get("silent"), time),
        generation=found.get("generation", ""),
        defined_generation=found.get("defined_generation", ""),
        kept_generation=found.get("kept_generation", ""),
        is_start_doubtful=bool(found.get("start_doubtful")),
        memory_bytes=found.get("memory", 0),
        foreign_scaler=found.get("foreign_scaler", ""),
        is_unclaimed=bool(found.get("unclaimed")),
    )


def _worker_record(found: Mapping[str, Any], time: float) -> WorkerRecord:
    return WorkerRecord(
        worker_id=found["id"],
        state=WorkerState(found["state"]),
        slots=found.get("slots", 1),
        busy_slots=found.get("busy_slots", 0),
        leases=found.get("leases", 0),
        connected_since=_moment(found.get("connected"), time),
        oldest_lease_since=_moment(found.get("oldest_lease"), time),
        silent_seconds=found.get("silent"),
    )
