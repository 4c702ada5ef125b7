"""The long set: `python -m tests.system.faults.soak --minutes 10`. Goes round all trials, with a
new seed each, until the time is up.

Prints a line as each trial ends, at last the sums as docs/guarantees.md has them, and exits 1 at
the first trial that fails, with the command that repeats it.
"""

import argparse
import asyncio
import json
import random
import sys
import traceback
from collections import defaultdict
from time import monotonic
from typing import Any

from tests.support.databases import temporary_folder
from tests.system.faults import scenarios as scenarios  # noqa: PLC0414 - fills SCENARIOS
from tests.system.faults.postgres import Cluster
from tests.system.faults.rig import SCENARIOS, Outcome, report, try_out


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="soak", description="Every trial of what must not happen, again and again.")
    parser.add_argument("--minutes", type=float, default=10, help="start no further trial after this time")
    parser.add_argument("--operations", type=int, default=0, help="or after so many acknowledgements")
    parser.add_argument("--rounds", type=int, default=0, help="or after so many times round")
    parser.add_argument(
        "--only", default="", help="names of trials, with commas between; one of them: " + ", ".join(SCENARIOS)
    )
    parser.add_argument("--seed", type=int, default=None, help="of the first trial")
    parser.add_argument("--scale", type=float, default=3, help="how much larger than the quick set's each trial is")
    parser.add_argument("--json", action="store_true", help="a JSON object a line instead of text")
    return parser.parse_args()


async def soak(given: argparse.Namespace) -> int:
    """Exit status: 0 when every trial passed, 1 when one did not, 2 when none could run."""
    chosen = given.only.split(",") if given.only else list(SCENARIOS)
    if unknown := [name for name in chosen if name not in SCENARIOS]:
        print(f"there is no trial {unknown[0]}; there are {', '.join(SCENARIOS)}", file=sys.stderr)
        return 2
    for name in list(chosen):
        if reason := SCENARIOS[name].needs():
            print(f"{name} is left out: {reason}", file=sys.stderr)
            chosen.remove(name)
    if not chosen:
        return 2
    outcomes: list[Outcome] = []
    with temporary_folder(on_disk=True) as folder:
        cluster = Cluster(folder)
        await cluster.make()
        is_well = await _go_round(given, chosen, cluster, outcomes)
    print_sums(outcomes, as_json=given.json)
    return 0 if is_well else 1


async def _go_round(given: argparse.Namespace, chosen: list[str], cluster: Cluster, outcomes: list[Outcome]) -> bool:
    """Until time, operations or rounds are up. False when a trial failed."""
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(2**31)
    ends_at, round_ = monotonic() + 60 * given.minutes, 0
    while not given.rounds or round_ < given.rounds:
        for name in chosen:
            if monotonic() >= ends_at or 0 < given.operations <= sum(each.acknowledged for each in outcomes):
                return True
            try:
                outcome = await try_out(SCENARIOS[name], cluster, seed, given.scale)
            except Exception:
                traceback.print_exc()
                return False
            outcomes.append(outcome)
            seed += 1
            print(json.dumps(as_object(outcome)) if given.json else line_of(outcome), flush=True)
            if outcome.found:
                print(report(outcome, given.scale), file=sys.stderr)
                return False
        round_ += 1
    return True


def as_object(outcome: Outcome) -> dict[str, Any]:
    return {
        "trial": outcome.name, "seed": outcome.seed, "seconds": round(outcome.seconds, 1), "acknowledged": outcome.acknowledged,
        "refused": outcome.refused, "unanswered": outcome.unanswered, "faultsInjected": outcome.faults_injected,
        "lost": outcome.count("lost"), "twice": outcome.count("duplicated"), "otherFaults": outcome.others,
        "lostInControl": outcome.lost_in_control, "figures": outcome.figures,
    }  # fmt: skip


def line_of(outcome: Outcome) -> str:
    told = "; ".join(f"{name} {figure}" for name, figure in outcome.figures.items())
    return (
        f"{outcome.name:30} seed {outcome.seed:<10} {outcome.seconds:5.1f} s {outcome.faults_injected:6,} faults; "
        f"lost {outcome.count('lost')}, twice {outcome.count('duplicated')}, otherwise wrong {outcome.others} "
        f"of {outcome.acknowledged:7,} acknowledged; {outcome.refused:6,} refused, {outcome.unanswered:6,} in doubt; {told}"
    )


def print_sums(outcomes: list[Outcome], *, as_json: bool) -> None:
    """All trials but the control, which loses what it must."""
    judged = [outcome for outcome in outcomes if not outcome.lost_in_control]
    total, faults = sum(each.acknowledged for each in judged), sum(each.faults_injected for each in judged)
    wrong = sum(len(each.found) for each in judged)
    if as_json:
        print(json.dumps({"acknowledged": total, "faultsInjected": faults, "found": wrong}))
        return
    by_name: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_name[outcome.name].append(outcome)
    print(
        "\n| trial | faults injected | acknowledged | lost | twice | seen in the last one |\n|---|---|---|---|---|---|"
    )
    for name, each in by_name.items():
        figures = "; ".join(f"{what} {figure}" for what, figure in each[-1].figures.items())
        lost = sum(o.count("lost") + o.lost_in_control for o in each)
        print(
            f"| {name} | {sum(o.faults_injected for o in each):,} | {sum(o.acknowledged for o in each):,} | {lost} "
            f"| {sum(o.count('duplicated') for o in each)} | {figures} |"
        )
    print(f"| **all but the control** | **{faults:,}** | **{total:,}** | **{sum(o.count('lost') for o in judged)}** "
          f"| **{sum(o.count('duplicated') for o in judged)}** | |")  # fmt: skip
    if total and not wrong:
        print(
            f"\n0 of {total:,} acknowledgements lost or twice bounds the rate of either at {3 / total:.1e} (3/N, 95 %)."
        )


if __name__ == "__main__":
    sys.exit(asyncio.run(soak(arguments())))
