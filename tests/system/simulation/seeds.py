"""Many seeds, on every core."""

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

from tests.system.simulation.story import Outline, tell

CHUNK = 250
FAILURES_MAX = 10


class Failure(NamedTuple):
    """A seed that broke a promise, and which."""

    seed: int
    what: str


class Summary(NamedTuple):
    """What the seeds showed together, and the first that failed."""

    outline: Outline
    failures: list[Failure]


def run_seeds(first: int, count: int) -> Summary:
    """Tell the stories of `count` seeds from `first` on."""
    chunks = [range(start, min(start + CHUNK, first + count)) for start in range(first, first + count, CHUNK)]
    total = Summary(Outline(Counter(), Counter(), Counter(), Counter()), [])
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for summary in pool.map(_run_chunk, chunks):
            _add(total, summary)
    return total


def _run_chunk(seeds: range) -> Summary:
    total = Summary(Outline(Counter(), Counter(), Counter(), Counter()), [])
    for seed in seeds:
        try:
            outline = tell(seed)
        except Exception as broken:
            total.failures.append(Failure(seed, f"{type(broken).__name__}: {broken}"))
        else:
            _add(total, Summary(outline, []))
    return total


def _add(total: Summary, more: Summary) -> None:
    for tally, counted in zip(total.outline, more.outline, strict=True):
        tally.update(counted)
    total.failures.extend(more.failures[: FAILURES_MAX - len(total.failures)])
