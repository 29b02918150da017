from bench.exporter_process import Answer, missing_families

TEXT = """\
# HELP libvirt_up 1 if libvirt answered.
# TYPE libvirt_up gauge
libvirt_up 1
libvirt_domain_info_cpu_time_seconds_total{domain="a"} 12.5
libvirt_domain_info_cpu_time_seconds_total{domain="b } \\"x\\""} 3
libvirt_domain_block_stats_read_bytes_total{domain="a",target_device="vda"} 512
libvirt_domain_timed_out{domain="a"} 0
libvirt_domain_timed_out{domain="c"} 1
process_cpu_seconds_total 1
# EOF
"""
ANSWER = Answer(0.1, 200, TEXT)


def test_samples_keep_their_labels_whatever_is_in_them():
    samples = ANSWER.samples()
    assert samples["libvirt_up"] == 1
    assert samples['libvirt_domain_info_cpu_time_seconds_total{domain="b } \\"x\\""}'] == 3
    assert len(samples) == 7


def test_domains_are_found_by_metric_and_value():
    assert ANSWER.domains_with("libvirt_domain_timed_out") == {"a", "c"}
    assert ANSWER.domains_with("libvirt_domain_timed_out", 1) == {"c"}


def test_a_domain_is_complete_with_the_counters_of_its_cpu_and_disks():
    assert ANSWER.complete() == {"a"}
    assert ANSWER.is_up()


def test_an_answer_that_never_came_holds_nothing():
    nothing = Answer(40.0, 0)
    assert not nothing.is_up()
    assert nothing.complete() == set()


def test_what_the_other_exporter_gives_must_be_given_too():
    theirs = Answer(0.1, 200, TEXT + 'libvirt_domain_state_code{domain="a"} 1\n')
    assert missing_families(theirs, ANSWER) == ["libvirt_domain_state_code"]
    assert missing_families(theirs, ANSWER, {"libvirt_domain_state_code": "libvirt_up"}) == []
    assert missing_families(ANSWER, theirs) == []
