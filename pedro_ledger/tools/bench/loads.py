"""Runs a load in a process of its own and reads what came of it: wrk where it is installed, else
our generator.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import as_file, files
from typing import Any, NamedTuple

import orjson

from pedro_ledger.tools.bench.figures import Latency
from pedro_ledger.tools.bench.generator import Job

GRACE_S = 30.0
"""A load that takes longer than it was told to, by this much, is ended."""


class BenchError(Exception):
    """The bench cannot go on; the message says why and what to do."""


class Loaded(NamedTuple):
    """What a load did."""

    operations: int
    seconds: float
    operations_in_all: int
    """Those before the counted part too."""
    latency: Latency
    errors: dict[str, int]


def find_wrk() -> str | None:
    """The path of wrk, if it is installed."""
    return shutil.which("wrk")


def wrk_version(wrk: str) -> str:
    """As wrk says it; it says it beside its usage, and fails."""
    shown = subprocess.run([wrk, "--version"], capture_output=True, text=True, check=False).stdout
    return " ".join(shown.split("\n", 1)[0].split()[:2]) or "wrk"


def run_wrk(wrk: str, job: Job) -> Loaded:
    """A timed load of single deducts. One thread of wrk does several times what one daemon can."""
    assert job.seconds is not None, "wrk only knows timed loads"
    with as_file(files("pedro_ledger.tools.bench") / "load.lua") as script:
        command = [
            wrk, "--threads", "1", "--connections", str(job.connections), "--duration", f"{round(job.seconds)}s",
            "--timeout", "10s", "--script", str(script), f"http://127.0.0.1:{job.port}/", "--",
            job.users_file, job.api_key, job.key_prefix, str(job.details_bytes),
        ]  # fmt: skip
        shown = _run(command, None, job.seconds)
    return parse_wrk(shown)


def parse_wrk(shown: str) -> Loaded:
    """What the script printed last."""
    lines = [line for line in shown.splitlines() if line.startswith("{")]
    if not lines:
        raise BenchError(f"wrk did not say what it did: {shown.strip()[-300:]}")
    said: Mapping[str, int] = orjson.loads(lines[-1])
    errors = {name: said[name] for name in ("connect", "read", "write", "status", "timeout") if said[name]}
    return Loaded(
        said["operations"],
        said["microseconds"] / 1e6,
        said["operations"],
        Latency(said["p50"] / 1000, said["p90"] / 1000, said["p99"] / 1000),
        errors,
    )


def run_generator(job: Job) -> Loaded:
    """Any load, from our own generator."""
    command = [sys.executable, "-m", "pedro_ledger.tools.bench.generator"]
    said: dict[str, Any] = orjson.loads(_run(command, orjson.dumps(asdict(job)), job.seconds or 600))
    return Loaded(
        said["operations"], said["seconds"], said["operations_in_all"], Latency(*said["latency_ms"]), said["errors"]
    )


def _run(command: list[str], given: bytes | None, seconds: float) -> str:
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=seconds + GRACE_S, check=False)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{command[0]} did not end in time: is the server under test still alive?") from None
    if done.returncode != 0:
        raise BenchError(f"{command[0]} failed: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return done.stdout.decode()
