from collector.libvirt_source.job_watch import JobWatch


def test_asks_again_at_once_only_who_has_a_job() -> None:
    watch = JobWatch(5)
    assert watch.due(["a", "b"], 0) == ["a", "b"]
    watch.note("a", has_job=False, now=0)
    watch.note("b", has_job=True, now=0)
    assert watch.due(["a", "b"], 4.9) == ["b"]
    assert watch.due(["a", "b"], 5) == ["a", "b"]


def test_forgets_who_has_gone() -> None:
    watch = JobWatch(5)
    watch.note("a", has_job=False, now=0)
    watch.keep_only(frozenset())
    assert watch.due(["a"], 1) == ["a"]
