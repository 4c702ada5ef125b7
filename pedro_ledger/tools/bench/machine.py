"""Where the run took place: a figure means nothing without its machine and versions."""

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

PACKAGES = ("pedro-ledger", "aiohttp", "asyncpg", "uvloop", "orjson", "pydantic")
FSYNCS = 100


def describe_machine(folder: Path) -> dict[str, Any]:
    """Processor, cores, memory, system, how busy it was before, and how long the disk of `folder`
    takes for an fsync.
    """
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memoryGiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "loadBefore": round(os.getloadavg()[0], 2),
        "fsyncMs": round(fsync_ms(folder), 3),
    }


def describe_versions(postgres: str, generator: str) -> dict[str, str]:
    """What ran."""
    packages = {package: version(package) for package in PACKAGES}
    return {"python": platform.python_version(), **packages, "postgresql": postgres, "generator": generator}


def cpu_model() -> str:
    """As the kernel names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def fsync_ms(folder: Path) -> float:
    """Median time to write 8 KiB and have them on disk: no commit is faster."""
    file = folder / "fsync"
    times = []
    with file.open("wb", buffering=0) as out:
        for _ in range(FSYNCS):
            started = time.perf_counter()
            out.write(bytes(8192))
            os.fsync(out.fileno())
            times.append(time.perf_counter() - started)
    file.unlink()
    return median(times) * 1000
