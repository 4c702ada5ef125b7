"""The long set: `python -m tests.faults.soak --minutes 10`. Goes round all trials, with a new seed each, until the time is up.

Prints each trial as it ends, the sums as a table, and exits 1 at the first trial that fails, with the command that repeats it.
"""

import argparse
import asyncio
import random
import sys
from collections import defaultdict
from pathlib import Path
from time import monotonic

from tests.faults import scenarios as scenarios  # noqa: PLC0414 - fills SCENARIOS
from tests.faults.postgres import Cluster
from tests.faults.rig import SCENARIOS, Outcome, report, try_out
from tests.support.databases import temporary_folder


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="soak", description="Every trial of RELIABILITY.md's table, again and again.")
    parser.add_argument("--minutes", type=float, default=10, help="start no further trial after this time")
    parser.add_argument("--operations", type=int, default=0, help="or after so many acknowledgements")
    parser.add_argument("--rounds", type=int, default=0, help="or after so many times round")
    parser.add_argument("--only", default="", help="names of trials, with commas between")
    parser.add_argument("--seed", type=int, default=None, help="of the first trial")
    parser.add_argument("--scale", type=float, default=4, help="how much larger than the quick set's each trial is")
    return parser.parse_args()


async def soak(given: argparse.Namespace) -> int:
    chosen = given.only.split(",") if given.only else list(SCENARIOS)
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(2**31)
    ends_at, round_ = monotonic() + 60 * given.minutes, 0
    outcomes: list[Outcome] = []
    with temporary_folder() as folder:
        cluster = Cluster(Path(folder))
        await cluster.make()
        while not given.rounds or round_ < given.rounds:
            for name in chosen:
                if monotonic() >= ends_at or 0 < given.operations <= sum(each.acknowledged for each in outcomes):
                    print_table(outcomes)
                    return 0
                outcome = await try_out(SCENARIOS[name], cluster, seed, given.scale)
                outcomes.append(outcome)
                seed += 1
                print(line_of(outcome), flush=True)
                if outcome.found:
                    print(report(outcome, given.scale), file=sys.stderr)
                    return 1
            round_ += 1
    print_table(outcomes)
    return 0


def line_of(outcome: Outcome) -> str:
    told = "; ".join(f"{name} {figure}" for name, figure in outcome.figures.items())
    return (
        f"{outcome.name:32} seed {outcome.seed:<11} {outcome.seconds:6.1f} s {outcome.acknowledged:8,} acknowledged "
        f"{outcome.refused:7,} refused {outcome.unanswered:6,} without an answer {outcome.faults_injected:6,} faults  {told}"
    )


def print_table(outcomes: list[Outcome]) -> None:
    """The sums, as README has them."""
    by_name: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_name[outcome.name].append(outcome)
    print("\n| trial | acknowledged | faults injected | lost | twice | seen |\n|---|---|---|---|---|---|")
    for name, each in by_name.items():
        figures = "; ".join(f"{what} {figure}" for what, figure in each[-1].figures.items())
        print(
            f"| {name} | {sum(o.acknowledged for o in each):,} | {sum(o.faults_injected for o in each):,} | 0 | 0 | {figures} |"
        )
    total = sum(outcome.acknowledged for outcome in outcomes)
    print(f"| **all** | **{total:,}** | **{sum(o.faults_injected for o in outcomes):,}** | **0** | **0** | |")
    bound = f"{3 / total:.1e}" if total else "nothing"
    print(f"\nNone of {total:,} acknowledgements lost or twice bounds the rate of either at {bound} (3/N, 95 %).")


if __name__ == "__main__":
    sys.exit(asyncio.run(soak(arguments())))
