"""What runs yield, and the arithmetic over them. A row with any error has no figure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from statistics import median
from typing import NamedTuple


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of values in ascending order: the least one that `percent` of
    them do not exceed.
    """
    if not ordered:
        raise ValueError("nothing was measured")
    return ordered[max(1, ceil(len(ordered) * percent / 100)) - 1]


class Latency(NamedTuple):
    """Milliseconds from sending a request to its whole answer."""

    p50_ms: float
    p90_ms: float
    p99_ms: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> "Latency":
        """The percentiles of single latencies."""
        ordered = sorted(seconds)
        return cls(*(percentile(ordered, percent) * 1000 for percent in (50, 90, 99)))


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one row."""

    operations: int
    seconds: float
    latency: Latency | None
    errors: Mapping[str, int]
    """How many of what went wrong: `status`, `connect`, `read`, `write`, `timeout`, `replayed`, …;
    empty when all went well.
    """
    server_cpu_us: float | None = None
    """CPU of the process under test, microseconds an operation."""
    postgres_cpu_us: float | None = None
    """CPU of PostgreSQL's processes, microseconds an operation."""
    operations_in_all: int = 0
    """With those before the counted part."""

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.operations / self.seconds

    @property
    def cpu_us(self) -> float | None:
        """CPU of the process under test and of PostgreSQL together, microseconds an operation."""
        if self.server_cpu_us is None or self.postgres_cpu_us is None:
            return None
        return self.server_cpu_us + self.postgres_cpu_us


@dataclass(slots=True)
class RowResult:
    """All runs of one row."""

    name: str
    connections: int
    generator: str
    samples: list[Sample] = field(default_factory=list)

    @property
    def errors(self) -> dict[str, int]:
        """What went wrong in any of the runs. A run that did nothing at all went wrong too."""
        found: Counter[str] = Counter()
        for sample in self.samples:
            found.update(sample.errors)
            if sample.operations == 0:
                found["nothing_done"] += 1
        return dict(found)

    @property
    def is_sound(self) -> bool:
        """Whether the row may be printed as a figure."""
        return bool(self.samples) and not self.errors

    def rate(self) -> float | None:
        """Median of operations a second; None where the row is not sound."""
        return median(sample.rate for sample in self.samples) if self.is_sound else None

    def spread(self) -> tuple[float, float] | None:
        """The slowest and the fastest run, operations a second."""
        rates = [sample.rate for sample in self.samples]
        return (min(rates), max(rates)) if self.is_sound else None

    def latency(self) -> Latency | None:
        """The median over the runs of each percentile."""
        found = [sample.latency for sample in self.samples if sample.latency is not None]
        if not self.is_sound or not found:
            return None
        return Latency(*(median(column) for column in zip(*found, strict=True)))

    def server_cpu_us(self) -> float | None:
        """Median CPU of the process under test, microseconds an operation."""
        return self._median([sample.server_cpu_us for sample in self.samples])

    def postgres_cpu_us(self) -> float | None:
        """Median CPU of PostgreSQL, microseconds an operation."""
        return self._median([sample.postgres_cpu_us for sample in self.samples])

    def _median(self, values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return median(known) if known and self.is_sound else None


def ratio(above: float | None, below: float | None) -> float | None:
    """`above / below`; None where either was not measured or cannot be divided by."""
    return None if above is None or not below else above / below
