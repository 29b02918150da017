"""Messages of Alertmanager and Prometheus to notices: webhook bodies and listings."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from scaler.alerts import Notice
from scaler.http_requests import Fault, shown

_VERSION = "4"
_FIRING, _RESOLVED = "firing", "resolved"
_MAX_FAULTS = 10
_FNV_OFFSET, _FNV_PRIME, _SEPARATOR = 0xCBF29CE484222325, 0x100000001B3, b"\xff"


@dataclass(frozen=True, slots=True)
class Notification:
    """A webhook's body. `truncated` alerts more were left out by Alertmanager's `max_alerts`."""

    notices: tuple[Notice, ...]
    truncated: int


class MessageError(Exception):
    """A body is not of the form that it should have."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults[:_MAX_FAULTS])
        super().__init__("; ".join(map(str, self.faults)))


def read_webhook(body: Mapping[str, Any]) -> Notification:
    """The notices of a webhook's body.

    Raises:
        MessageError: with every fault, up to ten.

    """
    faults: list[Fault] = []
    if body.get("version") != _VERSION:
        fix = 'must be "4", that of Alertmanager\'s webhook'
        faults.append(Fault("version", shown(body.get("version")), fix))
    truncated = body.get("truncatedAlerts", 0)
    if not isinstance(truncated, int) or isinstance(truncated, bool) or truncated < 0:
        faults.append(Fault("truncatedAlerts", shown(truncated), "must be a whole number"))
    alerts = body.get("alerts")
    if not isinstance(alerts, list):
        faults.append(Fault("alerts", shown(alerts), "must be a list"))
        alerts = []
    notices = [_notice(alert, f"alerts.{number}", faults) for number, alert in enumerate(alerts)]
    if faults:
        raise MessageError(faults)
    return Notification(tuple(one for one in notices if one is not None), truncated)


def read_alertmanager(answer: Any) -> tuple[Notice, ...]:
    """The alerts of Alertmanager's `/api/v2/alerts`, all of which fire.

    Raises:
        MessageError: the answer has another form.

    """
    faults: list[Fault] = []
    if not isinstance(answer, list):
        raise MessageError([Fault("answer", shown(answer), "must be a list of alerts")])
    notices = [
        _notice({**alert, "status": _FIRING} if isinstance(alert, dict) else alert, str(n), faults)
        for n, alert in enumerate(answer)
    ]
    if faults:
        raise MessageError(faults)
    return tuple(one for one in notices if one is not None)


def read_prometheus(answer: Any) -> tuple[Notice, ...]:
    """The alerts of Prometheus' `/api/v1/alerts` that fire; pending ones do not.

    Raises:
        MessageError: the answer has another form.

    """
    try:
        alerts = [alert for alert in answer["data"]["alerts"] if alert["state"] == _FIRING]
    except (KeyError, TypeError):
        fault = Fault("answer", shown(answer), "must hold data.alerts with a state each")
        raise MessageError([fault]) from None
    faults: list[Fault] = []
    notices = [
        _notice({**alert, "status": _FIRING, "startsAt": alert.get("activeAt")}, str(n), faults)
        for n, alert in enumerate(alerts)
    ]
    if faults:
        raise MessageError(faults)
    return tuple(one for one in notices if one is not None)


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """The fingerprint that Alertmanager gives an alert: FNV-1a over its sorted labels.

    As `LabelSet.Fingerprint` in github.com/prometheus/common/model.
    """
    digest = _FNV_OFFSET
    for name in sorted(labels):
        text = name.encode() + _SEPARATOR + labels[name].encode() + _SEPARATOR
        for byte in text:
            digest = ((digest ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return f"{digest:016x}"


def _notice(alert: Any, where: str, faults: list[Fault]) -> Notice | None:
    """None, with what is wrong in `faults`, when it is no alert."""
    if not isinstance(alert, dict):
        faults.append(Fault(where, shown(alert), "must be an object"))
        return None
    status, before = alert.get("status"), len(faults)
    if status not in (_FIRING, _RESOLVED):
        faults.append(Fault(f"{where}.status", shown(status), 'must be "firing" or "resolved"'))
    labels: dict[str, str] = {}
    if _are_labels(alert.get("labels")):
        labels = alert["labels"]
    else:
        fix = "must be labels, names and values both text"
        faults.append(Fault(f"{where}.labels", shown(alert.get("labels")), fix))
    starts_at = _moment(alert.get("startsAt"))
    if starts_at is None:
        fix = "must be a time such as 2026-01-31T12:00:00Z"
        faults.append(Fault(f"{where}.startsAt", shown(alert.get("startsAt")), fix))
    fingerprint = alert.get("fingerprint") or fingerprint_of(labels)
    if not isinstance(fingerprint, str) or len(fingerprint) > 64:
        faults.append(Fault(f"{where}.fingerprint", shown(fingerprint), "must be short text"))
    if len(faults) > before or starts_at is None:
        return None
    ends_at = _moment(alert.get("endsAt")) if status == _RESOLVED else None
    return Notice(fingerprint, dict(labels), starts_at, status == _FIRING, ends_at)


def _are_labels(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(label, str) and _is_unicode(name) and _is_unicode(label)
        for name, label in value.items()
    )


def _is_unicode(text: str) -> bool:
    """False for half of a surrogate pair, which JSON can write and UTF-8 cannot."""
    return text.isascii() or not any("\ud800" <= one <= "\udfff" for one in text)


def _moment(text: Any) -> float | None:
    """Unix time, whole milliseconds: the webhook writes nanoseconds and the listing cuts them."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return math.floor(moment.timestamp() * 1000) / 1000
    except (ValueError, OverflowError):
        return None
