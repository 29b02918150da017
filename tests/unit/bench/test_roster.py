from bench.peers.roster import PEERS, UPPER_BOUND, Peer


def peer(packages=(), programs=()) -> Peer:
    return Peer("some queue", False, packages, programs, 1, lambda rig, jobs: {})


def test_a_peer_that_is_complete_lacks_nothing():
    assert peer(("json",), ("sh",)).missing() == []
    assert UPPER_BOUND.missing() == []


def test_what_a_peer_lacks_is_named_with_the_fix():
    package, program = peer(("no_such_package",), ("no-such-program",)).missing()
    assert "no_such_package" in package
    assert "bench/setup" in package
    assert "apt-get install no-such-program" in program


def test_peers_that_sync_and_peers_that_do_not_are_told_apart():
    assert {each.is_synced for each in PEERS} == {True, False}
    assert len({each.name for each in PEERS}) == len(PEERS)
