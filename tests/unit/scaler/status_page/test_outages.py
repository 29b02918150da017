from scaler.readings import Empty, Failed, Known
from scaler.status_page.outages import Outages, after

AWAY = {"cpu": Failed("cannot connect"), "demand": Failed("cannot connect")}
HERE = {"cpu": Known(0.5, 1.0), "demand": Failed("refused: bad query")}


def turn(before, wall, readings=HERE, **fields):
    known = {"has_fleet": True, "has_domains": True, "errors": (), **fields}
    return after(before, readings, wall=wall, **known)


def test_an_outage_begins_once_and_ends():
    first = turn(Outages(), 1.0)
    assert (first.prometheus, first.dispatcher, first.libvirt) == (None, None, None)
    second = turn(first, 2.0, AWAY)
    third = turn(second, 3.0, {"cpu": Failed("no answer in time")})
    assert (third.prometheus.since, third.prometheus.detail) == (2.0, "no answer in time")
    assert not third.prometheus.is_older
    assert turn(third, 4.0).prometheus is None


def test_one_signal_that_fails_is_not_prometheus_s_fault():
    assert turn(Outages(), 1.0, HERE).prometheus is None
    assert turn(Outages(), 1.0, {}).prometheus is None
    assert turn(Outages(), 1.0, {"cpu": Empty()}).prometheus is None


def test_an_outage_of_the_first_turn_may_be_older():
    found = turn(turn(Outages(), 1.0, AWAY), 2.0, AWAY)
    assert (found.prometheus.since, found.prometheus.is_older) == (1.0, True)


def test_each_error_belongs_to_its_source():
    errors = ("libvirt_uri = x: refused", "dispatcher: UNAVAILABLE: away")
    found = turn(Outages(), 1.0, has_fleet=False, has_domains=False, errors=errors)
    assert found.libvirt.detail == "libvirt_uri = x: refused"
    assert found.dispatcher.detail == "dispatcher: UNAVAILABLE: away"
