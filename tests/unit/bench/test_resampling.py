from bench.resampling import Outcome, compare, interval


def test_an_interval_holds_the_median_and_is_the_same_again():
    found = interval([float(number) for number in range(31)])
    assert found.low < found.median == 15 < found.high
    assert found == interval([float(number) for number in range(31)])
    assert interval([2.0] * 30).low == interval([2.0] * 30).high == 2


def test_only_a_clear_difference_wins():
    ours = [float(number % 7) for number in range(30)]
    assert compare(ours, [value + 1 for value in ours]) is Outcome.WIN
    assert compare(ours, [value - 1 for value in ours]) is Outcome.LOSS
    assert compare(ours, ours) is Outcome.TIE
    assert compare(ours, ours[::-1]) is Outcome.TIE
