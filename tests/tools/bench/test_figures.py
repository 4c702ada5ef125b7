import pytest

from pedro_ledger.tools.bench.figures import Latency, RowResult, Sample, percentile, ratio
from pedro_ledger.tools.bench.goals import GOALS, GoalResult, judge


def sample(rate: float, **changes: object) -> Sample:
    given = {"operations": int(rate * 2), "seconds": 2.0, "latency": Latency(1, 2, 3), "errors": {}, **changes}
    return Sample(**given)  # type: ignore[arg-type]


def row(name: str, *rates: float, **changes: object) -> RowResult:
    return RowResult(name, 64, "own", [sample(rate, **changes) for rate in rates])


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([7], 50, 7), ([1, 2, 3, 4], 50, 2), ([1, 2, 3, 4], 51, 3), (range(1, 101), 99, 99), (range(1, 102), 99, 100)],
)
def test_percentile_is_the_nearest_rank(values: list[float], percent: float, expected: float) -> None:
    assert percentile(list(values), percent) == expected


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


def test_latency_is_in_milliseconds_whatever_the_order() -> None:
    assert Latency.of([0.003, 0.001, 0.002]) == pytest.approx((2, 3, 3))


def test_a_row_shows_the_median_and_its_spread() -> None:
    result = row("single-64", 100, 900, 300)
    assert result.rate() == 300
    assert result.spread() == (100, 900)


def test_a_percentile_of_a_row_is_the_median_over_its_runs() -> None:
    result = RowResult("echo", 64, "own", [sample(1, latency=Latency(p50, 2, 9 - p50)) for p50 in (1, 5, 2)])
    assert result.latency() == Latency(2, 2, 7)


@pytest.mark.parametrize("bad", [{"errors": {"status": 1}}, {"operations": 0}])
def test_one_bad_run_refuses_the_whole_row(bad: dict[str, object]) -> None:
    result = row("single-64", 100, 100)
    result.samples.append(sample(100, server_cpu_us=5.0, **bad))
    assert not result.is_sound
    assert result.errors
    assert (result.rate(), result.spread(), result.latency(), result.server_cpu_us()) == (None, None, None, None)


def test_a_row_that_did_not_run_has_no_figure() -> None:
    assert row("echo").rate() is None


def test_ratio_knows_what_is_missing() -> None:
    assert ratio(3, 2) == 1.5
    assert ratio(None, 2) is None
    assert ratio(3, None) is None
    assert ratio(3, 0) is None


def verdict(rows: list[RowResult], name: str, **facts: float) -> GoalResult:
    [found] = [each for each in judge({row.name: row for row in rows}, facts) if each.name == name]
    return found


def test_a_floor_is_reached_at_its_limit() -> None:
    assert verdict([row("single-64", 60), row("echo", 100)], "single / echo, 64 connections").reached is True
    assert verdict([row("single-64", 59), row("echo", 100)], "single / echo, 64 connections").reached is False


def test_a_ceiling_is_reached_up_to_its_limit() -> None:
    rows = [row("single-64", 1, server_cpu_us=75.0), row("echo", 1, server_cpu_us=50.0)]
    assert verdict(rows, "cpu: single / echo").reached is True
    rows = [row("single-64", 1, server_cpu_us=76.0), row("echo", 1, server_cpu_us=50.0)]
    assert verdict(rows, "cpu: single / echo").reached is False


def test_tails_are_compared() -> None:
    rows = [row("single-64", 1, latency=Latency(1, 2, 9)), row("echo", 1, latency=Latency(1, 2, 2))]
    assert verdict(rows, "p99: single / echo").measured == 4.5


def test_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    assert {each.reached for each in judge({}, {})} == {None}
    assert verdict([row("single-64", 60)], "single / echo, 64 connections").measured is None


def test_an_errored_row_judges_nothing() -> None:
    rows = [row("single-64", 60, errors={"read": 1}), row("echo", 100)]
    assert verdict(rows, "single / echo, 64 connections").reached is None


def test_facts_are_judged() -> None:
    assert verdict([], "memory: KiB a resident account", account_resident_kib=1.9).reached is True
    assert verdict([], "cold: first touch / warm", cold_to_warm_ratio=0.4).reached is False


def test_goals_have_names_of_their_own() -> None:
    assert len({goal.name for goal in GOALS}) == len(GOALS)
