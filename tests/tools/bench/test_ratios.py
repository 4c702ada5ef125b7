import pytest

from pedro_ledger.tools.bench.figures import Sample
from pedro_ledger.tools.bench.ratios import Comparison, Measure, Pair, PairedRow, Ratios, sign_interval


def sample(rate: float = 100, cpu: float | None = 50, postgres: float | None = 50, **errors: int) -> Sample:
    return Sample(int(rate * 2), 2.0, None, errors, cpu, postgres, int(rate * 2))


@pytest.mark.parametrize(
    ("count", "kth", "confidence"),
    [(6, 1, 0.96875), (8, 1, 0.9921875), (9, 2, 0.9609375), (12, 3, 0.96142578125), (20, 6, 0.958610534667969)],
)
def test_the_interval_reaches_from_the_kth_smallest_to_the_kth_largest(count: int, kth: int, confidence: float) -> None:
    """k and confidence as tables of the sign test give them."""
    values = [float(value) for value in range(count, 0, -1)]
    found = sign_interval(values)
    assert found is not None
    assert (found.low, found.high) == (kth, count + 1 - kth)
    assert found.confidence == pytest.approx(confidence)


@pytest.mark.parametrize("count", range(6))
def test_too_few_pairs_have_no_interval(count: int) -> None:
    assert sign_interval([1.0] * count) is None


@pytest.mark.parametrize(
    ("low", "high", "cpu", "rate"),
    [
        (0.995, 1.004, Comparison.EQUAL, Comparison.EQUAL),
        (0.95, 1.004, Comparison.NO_WORSE, Comparison.NO_BETTER),
        (0.995, 1.04, Comparison.NO_BETTER, Comparison.NO_WORSE),
        (0.90, 0.98, Comparison.BETTER, Comparison.WORSE),
        (1.02, 1.10, Comparison.WORSE, Comparison.BETTER),
        (0.95, 1.05, Comparison.UNCLEAR, Comparison.UNCLEAR),
        (0.99, 1.01, Comparison.EQUAL, Comparison.EQUAL),
    ],
)
def test_what_may_be_said_of_an_interval(low: float, high: float, cpu: Comparison, rate: Comparison) -> None:
    """Less CPU is better, less rate is worse; the margin itself still counts as equal."""
    values = (low, *[(low + high) / 2] * 4, high)
    margin = 0.0100001
    assert Ratios(Measure.CPU, values).verdict(margin) is cpu
    assert Ratios(Measure.RATE, values).verdict(margin) is rate


def test_nothing_is_said_without_an_interval() -> None:
    assert Ratios(Measure.CPU, (1.0,) * 5).verdict(0.01) is Comparison.UNCLEAR
    assert Ratios(Measure.CPU, (1.0,) * 6).verdict(0.01) is Comparison.EQUAL


def test_a_pair_is_this_over_other_whoever_was_first() -> None:
    pair = Pair("other", this=sample(200, 30, 30), other=sample(100, 60, 40))
    assert {measure: pair.ratio(measure) for measure in Measure} == {
        Measure.CPU: 0.6, Measure.DAEMON_CPU: 0.5, Measure.POSTGRES_CPU: 0.75, Measure.RATE: 2,
    }  # fmt: skip


def test_what_the_system_does_not_tell_is_not_compared() -> None:
    row = PairedRow("hot", 64, "own", [Pair("this", sample(cpu=None), sample(cpu=None))])
    assert row.ratios(Measure.CPU) is None
    assert row.ratios(Measure.DAEMON_CPU) is None
    found = row.ratios(Measure.RATE)
    assert found is not None
    assert found.median == 1


def test_one_bad_run_on_either_side_refuses_the_row() -> None:
    good = Pair("this", sample(), sample())
    bad = [
        Pair("this", sample(status=2), sample()),
        Pair("this", sample(), sample(0)),
        Pair("this", sample(), sample(read=1)),
    ]
    assert PairedRow("hot", 64, "own", [good]).is_sound
    for pair in bad:
        row = PairedRow("hot", 64, "own", [good, pair])
        assert not row.is_sound
        assert row.ratios(Measure.CPU) is None
        assert row.medians(Measure.RATE) is None
    assert PairedRow("hot", 64, "own", bad).errors == {"this": {"status": 2}, "other": {"nothing_done": 1, "read": 1}}
    assert not PairedRow("hot", 64, "own").is_sound
