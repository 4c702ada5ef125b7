"""The arithmetic of pairs: what two samples that were taken one after the other say, and what all
pairs say together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import comb
from statistics import median
from typing import NamedTuple

from pedro_ledger.tools.bench.figures import Sample, ratio

CONFIDENCE = 0.95


class Measure(StrEnum):
    """What is compared."""

    CPU = "cpu"
    DAEMON_CPU = "daemon"
    POSTGRES_CPU = "postgres"
    RATE = "rate"

    @property
    def unit(self) -> str:
        """Of the figures that a ratio is made of."""
        return "op/s" if self is Measure.RATE else "µs/op"

    def of(self, sample: Sample) -> float | None:
        """The figure of one sample; None where it was not measured."""
        return _READ[self](sample)


_READ: dict[Measure, Callable[[Sample], float | None]] = {
    Measure.CPU: lambda sample: sample.cpu_us,
    Measure.DAEMON_CPU: lambda sample: sample.server_cpu_us,
    Measure.POSTGRES_CPU: lambda sample: sample.postgres_cpu_us,
    Measure.RATE: lambda sample: sample.rate,
}


class Comparison(StrEnum):
    """What can be said of the true ratio at the interval's confidence, with a margin around 1 that
    counts as equal.
    """

    EQUAL = "equal"
    """The whole interval is within the margin."""
    NO_WORSE = "no worse"
    """It does not reach beyond the margin on the bad side; it may be better."""
    NO_BETTER = "no better"
    """It does not reach beyond the margin on the good side; it may be worse."""
    BETTER = "better"
    """All of it is beyond the margin, on the good side."""
    WORSE = "worse"
    """All of it is beyond the margin, on the bad side."""
    UNCLEAR = "unclear"
    """It reaches beyond the margin on both sides, or there are too few pairs for an interval: run
    more.
    """


class Interval(NamedTuple):
    """Holds the true median with this probability, whatever the values are distributed like."""

    low: float
    high: float
    confidence: float


def sign_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """The narrowest interval for the median by the sign test: from the k-th smallest value to the
    k-th largest.

    Of `n` values the number below the true median is binomial with p = 1/2, so the interval misses
    it with twice the probability of fewer than `k`. None where even smallest to largest is not as
    sure as asked: five values are not, six are.
    """
    ordered, n = sorted(values), len(values)
    found, below = None, 0
    for k in range(1, n // 2 + 1):
        below += comb(n, k - 1)
        sure = 1 - 2 * below / 2**n
        if sure < confidence:
            break
        found = Interval(ordered[k - 1], ordered[n - k], sure)
    return found


@dataclass(frozen=True, slots=True)
class Ratios:
    """This checkout's figure over the other's, pair by pair, of one measure; at least one."""

    measure: Measure
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of all pairs."""
        return median(self.values)

    @property
    def interval(self) -> Interval | None:
        """Of the median."""
        return sign_interval(self.values)

    def verdict(self, margin: float) -> Comparison:
        """What may be said with `margin` (0.01 for 1 %) either side of 1 taken for equal."""
        interval = self.interval
        if interval is None:
            return Comparison.UNCLEAR
        low, high = interval.low - 1, interval.high - 1
        if self.measure is Measure.RATE:  # more is better: turn it round
            low, high = -high, -low
        if low > margin:
            return Comparison.WORSE
        if high < -margin:
            return Comparison.BETTER
        if high <= margin:
            return Comparison.EQUAL if low >= -margin else Comparison.NO_WORSE
        return Comparison.NO_BETTER if low >= -margin else Comparison.UNCLEAR


class Pair(NamedTuple):
    """One row run on both checkouts, one directly after the other."""

    first: str
    """Which of the two ran first, by its name."""
    this: Sample
    other: Sample

    def ratio(self, measure: Measure) -> float | None:
        """This over other; None where either was not measured."""
        return ratio(measure.of(self.this), measure.of(self.other))


@dataclass(slots=True)
class PairedRow:
    """All pairs of one row."""

    name: str
    connections: int
    generator: str
    pairs: list[Pair] = field(default_factory=list)

    @property
    def errors(self) -> dict[str, dict[str, int]]:
        """What went wrong, by checkout; empty when all went well.

        A run that did nothing went wrong too.
        """
        found: dict[str, dict[str, int]] = {}
        for pair in self.pairs:
            for name, sample in (("this", pair.this), ("other", pair.other)):
                errors = dict(sample.errors) or ({} if sample.operations else {"nothing_done": 1})
                for error, number in errors.items():
                    side = found.setdefault(name, {})
                    side[error] = side.get(error, 0) + number
        return found

    @property
    def is_sound(self) -> bool:
        """Whether the row has figures."""
        return bool(self.pairs) and not self.errors

    def ratios(self, measure: Measure) -> Ratios | None:
        """None where the row is not sound, or the measure is not known on this system."""
        values = [value for pair in self.pairs if (value := pair.ratio(measure)) is not None]
        return Ratios(measure, tuple(values)) if self.is_sound and values else None

    def medians(self, measure: Measure) -> tuple[float, float] | None:
        """The median figure of this checkout and of the other; None like `ratios`."""
        if self.ratios(measure) is None:
            return None
        this = [value for pair in self.pairs if (value := measure.of(pair.this)) is not None]
        other = [value for pair in self.pairs if (value := measure.of(pair.other)) is not None]
        return median(this), median(other)
