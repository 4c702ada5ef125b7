"""Processes under test: started, waited for, measured from outside, ended."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pedro_ledger.tools.bench.loads import BenchError

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
ANNOUNCEMENT = "listening on "
_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_TIED = (
    "import ctypes, os, signal, sys; parent = int(sys.argv[1]); ctypes.CDLL(None).prctl(1, signal.SIGTERM); "
    "os.getppid() == parent or sys.exit(); os.execv(sys.argv[2], sys.argv[2:])"
)
"""PR_SET_PDEATHSIG and then the command: the kernel ends the process when the bench ends, whatever
the bench ends of.
"""


class Server:
    """A process that says `listening on …` once it can be used; what it prints goes to `log`.

    `name` is what errors call it. Raises `BenchError` where it ends before it listens.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, *, cwd: Path | None = None
    ) -> None:
        self.log = log
        self._name = name
        tied = [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid())] if sys.platform == "linux" else []
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [*tied, *command],
                env=dict(environment),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            self.address = self._wait()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def port(self) -> int:
        """Where it listens, for servers of HTTP."""
        return int(self.address.rpartition(":")[2])

    def cpu_s(self) -> float | None:
        """User and system time so far; None where there is no /proc."""
        return cpu_s(self.pid)

    def resident_bytes(self) -> int | None:
        """Resident memory; None where there is no /proc."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except OSError:
            return None
        return pages * os.sysconf("SC_PAGE_SIZE")

    def check(self, wait_s: float = 0.0) -> None:
        """Raise `BenchError` if the process has ended by itself, or does within `wait_s`.

        The kernel closes a dying process's connections before its parent can see that it ended.
        """
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(wait_s)
            raise BenchError(f"{self._name} ended while it was measured, with status {status}: {self._tail()}")

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for one that does not go."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait(self) -> str:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            has_ended = self._process.poll() is not None  # before the log is read: its last words are in it
            for line in self.log.read_text(errors="replace").splitlines():
                if line.startswith(ANNOUNCEMENT):
                    return line.removeprefix(ANNOUNCEMENT).strip()
            if has_ended:
                break
            time.sleep(0.01)
        raise BenchError(f"{self._name} did not start: {self._tail()}")

    def _tail(self) -> str:
        """The end of its log, in one line."""
        return "; ".join(self.log.read_text(errors="replace").splitlines()[-5:]) or "it said nothing"


def cpu_s(pid: int) -> float | None:
    """User and system time of a process, its threads that have ended included; None where it cannot
    be read.
    """
    if sys.platform == "linux":
        try:
            return time.clock_gettime(_cpu_clock(pid))
        except OSError:
            return None
    return None


def family_cpu_s(parent: int) -> float | None:
    """User and system time of a process and its children, those that have ended included; None
    where it cannot be read.
    """
    own, fields = cpu_s(parent), _fields(parent)
    if own is None or fields is None:
        return None
    total = own + sum(int(field) for field in fields[13:15]) / _TICKS_PER_S  # children that were waited for
    for folder in Path("/proc").glob("[0-9]*"):
        fields = _fields(int(folder.name))
        if fields is not None and int(fields[1]) == parent:
            total += cpu_s(int(folder.name)) or 0.0
    return total


def _cpu_clock(pid: int) -> int:
    """The clock of a process's CPU time, as clock_getcpuclockid(3) makes it on Linux: nanoseconds,
    where /proc has ticks of 10 ms.
    """
    return (~pid << 3) | 2


def _fields(pid: int) -> list[str] | None:
    """`/proc/<pid>/stat` from the third field on; the second may hold blanks and parentheses."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
