"""Where the daemon's time goes under a load, by share: in which library it passes, and which
function of ours causes it.
"""

import os
import shutil
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pedro_ledger.tools.bench.figures import Sample
from pedro_ledger.tools.bench.loads import BenchError
from pedro_ledger.tools.bench.rig import Rig
from pedro_ledger.tools.bench.rows import Row
from pedro_ledger.tools.bench.suite import WARM_UP_S, BenchPlan, measure

SAMPLES_PER_S = 250
SECONDS = 8
SHOWN = 25
LIBRARIES = (
    "uvloop", "aiohttp", "asyncpg", "pydantic", "jiter", "orjson", "prometheus_client", "structlog", "multidict", "yarl",
    "frozenlist", "propcache", "asyncio", "contextvars", "hashlib",
)  # fmt: skip
ROOTS = ("pedro_ledger/cli/", "pedro_ledger/daemon/", "pedro_ledger/__main__.py", "pedro_ledger/tools/bench/")
"""Under everything, the cause of nothing."""
KERNEL = ("epoll", "libc.so", "libpthread", "[vdso]", "libc-")


@dataclass(frozen=True, slots=True)
class Profile:
    """Shares of the samples, largest first; each list adds up to 1."""

    row: str
    tool: str
    samples: int
    rate: float
    """Operations a second while it was taken."""
    by_place: list[tuple[str, float]]
    """Where the time passes: the library, or the part of pedro_ledger."""
    by_function: list[tuple[str, float]]
    """Where the time passes: the innermost frame."""
    by_cause: list[tuple[str, float]]
    """The innermost function of pedro_ledger on the stack, with all that it calls."""


def take_profile(
    make_rig: Callable[[], AbstractContextManager[Rig]], row: Row, plan: BenchPlan, on_run: Callable[[str], None]
) -> Profile:
    """Run a row and sample the daemon, with py-spy where it is installed, else with our own sampler
    inside it.
    """
    py_spy = shutil.which("py-spy")
    with make_rig() as rig:
        stacks = rig.folder / "stacks"
        if py_spy is None:
            rig.daemon_command = ("-m", "pedro_ledger.tools.bench.sampler", str(stacks))
        on_run(f"warm-up: {row.name}")
        measure(rig, row, plan, WARM_UP_S)
        if py_spy is not None:
            on_run(f"sampling {row.name} with py-spy")
            sample = _with_py_spy(py_spy, rig, row, plan, stacks)
        else:
            on_run(f"sampling {row.name} with the bench's own sampler")
            os.kill(rig.server(row.target).pid, signal.SIGUSR2)
            sample = measure(rig, row, plan, SECONDS)
            rig.stop_servers()
        if sample.errors:
            raise BenchError(f"{row.name} met errors under the profile: {dict(sample.errors)}")
        tool = "the bench's own sampler" if py_spy is None else "py-spy --native"
        return read_profile(row.name, tool, stacks.read_text(), sample)


def _with_py_spy(py_spy: str, rig: Rig, row: Row, plan: BenchPlan, stacks: Path) -> Sample:
    pid = rig.server(row.target).pid
    found: list[Sample] = []
    load = threading.Thread(target=lambda: found.append(measure(rig, row, plan, SECONDS + 2)))
    load.start()
    command = [
        py_spy, "record", "--pid", str(pid), "--duration", str(SECONDS), "--rate", str(SAMPLES_PER_S), "--native",
        "--format", "raw", "--output", str(stacks),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    load.join()
    if done.returncode != 0 or not stacks.exists():
        raise BenchError(f"py-spy failed (it needs the right to trace the daemon): {done.stderr.strip()[-300:]}")
    return found[0]


def read_profile(row: str, tool: str, text: str, sample: Sample) -> Profile:
    """Shares from stacks in py-spy's raw format."""
    places: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    for line in text.splitlines():
        stack, _, number = line.rpartition(" ")
        frames = stack.split(";")
        weight = int(number)
        places[place_of(frames)] += weight
        functions[_short(frames[-1])] += weight
        causes[next((_short(frame) for frame in reversed(frames) if _is_cause(frame)), "event loop and aiohttp")] += (
            weight
        )
    return Profile(row, tool, sum(places.values()), sample.rate, _shares(places), _shares(functions), _shares(causes))


def _is_cause(frame: str) -> bool:
    return "pedro_ledger/" in frame and not any(root in frame for root in ROOTS)


def place_of(frames: list[str]) -> str:
    """The library or the part of pedro_ledger in which the innermost known frame lies."""
    for frame in reversed(frames):
        if "pedro_ledger/" in frame:
            return "pedro_ledger/" + frame.rpartition("pedro_ledger/")[2].partition("/")[0].partition(".py")[0]
        if any(part in frame for part in KERNEL):
            return "system calls and libc"
        for library in LIBRARIES:
            if library in frame:
                return library
    return "Python itself"


def _short(frame: str) -> str:
    """`decide (ledger/decide.py)` from a frame with a whole path and a line."""
    name, _, place = frame.partition(" (")
    path = place.rstrip(")").partition(":")[0]
    return f"{name} ({'/'.join(path.split('/')[-2:])})"


def _shares(counts: Counter[str]) -> list[tuple[str, float]]:
    total = sum(counts.values()) or 1
    return [(name, number / total) for name, number in counts.most_common()]


def profile_json(profile: Profile) -> dict[str, Any]:
    """Everything, shares from 0 to 1."""
    return {
        "row": profile.row,
        "tool": profile.tool,
        "samples": profile.samples,
        "rate": round(profile.rate, 1),
        "byPlace": dict(profile.by_place),
        "byFunction": dict(profile.by_function[:SHOWN]),
        "byCause": dict(profile.by_cause[:SHOWN]),
    }


def print_profile(profile: Profile, console: Console) -> None:
    """Tables."""
    console.print(
        f"{profile.row}: {profile.samples} samples with {profile.tool} at {profile.rate:,.0f} operations a second"
    )
    for title, shares in (
        ("where time passes", profile.by_place),
        ("innermost frame", profile.by_function[:SHOWN]),
        ("innermost function of pedro_ledger, with what it calls", profile.by_cause[:SHOWN]),
    ):
        table = Table(title, "share")
        for name, share in shares:
            table.add_row(name, f"{share:.1%}")
        console.print(table)
