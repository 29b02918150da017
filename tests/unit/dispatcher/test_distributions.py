from prometheus_client import CollectorRegistry, Histogram, generate_latest

from dispatcher.distributions import Distribution

BOUNDS = (0.001, 0.5, 1, 2.5)


def test_it_shows_what_the_usual_histogram_shows():
    values = [(0.0, 1), (0.001, 2), (0.3, 5), (2.5, 1), (99.0, 3)]
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    usual = Histogram("wait_seconds", "Waiting.", buckets=BOUNDS, registry=theirs)
    quick = Distribution("wait_seconds", "Waiting.", BOUNDS)
    ours.register(quick)
    for value, times in values:
        quick.observe(value, times)
        for _ in range(times):
            usual.observe(value)
    lines = [line for line in generate_latest(theirs).splitlines() if b"_created" not in line]
    assert generate_latest(ours).splitlines() == lines
