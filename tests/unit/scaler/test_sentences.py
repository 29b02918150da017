"""Every reason has words, and no words are left over."""

from scaler.choices import NotChosen
from scaler.reasons import Reason
from scaler.sentences import NOT_CHOSEN, SENTENCES, sentence, signal_text


def test_every_reason_has_words_and_nothing_else_has():
    assert set(SENTENCES) == {reason.value for reason in Reason}


def test_every_cause_for_passing_a_domain_over_has_words():
    assert set(NOT_CHOSEN) == {cause.value for cause in NotChosen}


def test_a_sentence_carries_the_name_that_logs_use():
    assert sentence("max") == "the pool's maximum [max]"
    assert sentence("of_tomorrow") == "of tomorrow [of_tomorrow]"


def test_a_signal_says_its_value_or_why_there_is_none():
    assert signal_text("cpu", {"kind": "known", "value": 0.934}) == "cpu 0.93"
    assert signal_text("cpu", {"kind": "stale", "age_seconds": 12.0}) == "cpu stale"
    assert signal_text("cpu", {"kind": "partial", "value": 0.5}) == "cpu 0.50 (partial)"
