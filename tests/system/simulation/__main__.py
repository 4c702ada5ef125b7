"""`python -m tests.system.simulation [--seeds N] [--first N] [--seed N]`: run seeds, on every core;
print what they showed.
"""

import argparse
import sys
from time import perf_counter

from tests.system.simulation.seeds import run_seeds
from tests.system.simulation.story import tell


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.system.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many; 10,000 unless told")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one, with the traceback of what it breaks")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        print(*tell(chosen.seed), sep="\n")
        return 0
    started = perf_counter()
    summary = run_seeds(chosen.first, chosen.seeds)
    seconds = perf_counter() - started
    print(f"{chosen.seeds} seeds in {seconds:.1f} s, {chosen.seeds / seconds * 60:.0f} a minute")
    for name, tally in summary.outline._asdict().items():
        print(f"\n{name}: {sum(tally.values())}")
        for what, count in tally.most_common():
            print(f"  {count:>9}  {what}")
    for failure in summary.failures:
        print(
            f"\nseed {failure.seed}: {failure.what}\n  repeat: python -m tests.system.simulation --seed {failure.seed}"
        )
    return 1 if summary.failures else 0


if __name__ == "__main__":
    sys.exit(main())
