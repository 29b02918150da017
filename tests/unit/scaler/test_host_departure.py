import pytest

from scaler.host_departure import is_likely, saved_at, until
from scaler.incidents import Incident
from scaler.pool import DomainState, DomainView, Lifecycle, PoolView
from scaler.tracking import Tracked


def seen(*incidents, cause=""):
    domain = DomainView("a", DomainState.PAUSED, Lifecycle.PAUSED, cause)
    return Tracked({}, PoolView.of([domain]), tuple(("a", one) for one in incidents))


def test_a_domain_that_somebody_saves_begins_it():
    assert saved_at(None, seen(), 100.0) is None
    assert saved_at(None, seen(Incident.STOPPED, Incident.PAUSED), 100.0) is None
    assert saved_at(None, seen(Incident.SAVED), 100.0) == 100.0
    assert saved_at(90.0, seen(Incident.SAVED), 100.0) == 100.0


def test_it_lasts_as_long_as_a_domain_is_being_saved():
    assert saved_at(90.0, seen(cause="saved"), 100.0) == 100.0
    assert saved_at(90.0, seen(cause=""), 100.0) == 90.0


@pytest.mark.parametrize(("now", "likely"), [(100.0, True), (159.9, True), (160.0, False)])
def test_it_is_over_after_a_while(now, likely):
    assert is_likely(100.0, now) is likely
    assert until(100.0) == 160.0


def test_without_a_save_there_is_nothing():
    assert not is_likely(None, 100.0)
    assert until(None) is None
