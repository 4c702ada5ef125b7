"""Samples a daemon from inside where py-spy is not at hand.

`python -m pedro_ledger.tools.bench.sampler FILE serve …` runs the command given. From SIGUSR2 on
the kernel sends SIGPROF at every two milliseconds of CPU; the handler counts the stack of the main
thread, which is where the event loop runs. At the end the stacks are written to FILE as py-spy's
raw format does: frames from the root, joined by `;`, and a count. C code has no frames: its time is
its Python caller's.
"""

import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from pedro_ledger.cli.main import main as command

INTERVAL_S = 0.002


def main() -> None:
    """Run the daemon's command line under the sampler."""
    file, sys.argv[1:] = Path(sys.argv[1]), sys.argv[2:]
    stacks: Counter[tuple[tuple[str, str], ...]] = Counter()

    def count(number: int, frame: FrameType | None) -> None:
        stack = []
        while frame is not None:
            stack.append((frame.f_code.co_name, frame.f_code.co_filename))
            frame = frame.f_back
        stacks[tuple(reversed(stack))] += 1

    signal.signal(signal.SIGPROF, count)
    signal.signal(signal.SIGUSR2, lambda *_: signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S))
    try:
        command()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        lines = [
            ";".join(f"{name} ({place})" for name, place in stack) + f" {number}\n" for stack, number in stacks.items()
        ]
        file.write_text("".join(lines))


if __name__ == "__main__":
    main()
