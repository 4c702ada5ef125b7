"""Processes under test: started, waited for, measured from outside, ended."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pedro_ledger.tools.bench.loads import BenchError

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
ANNOUNCEMENT = "listening on "
_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class Server:
    """A process that says `listening on …` once it can be used; what it prints goes to `log`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        self._name = " ".join(command[1:4])
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
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
            for line in self.log.read_text(errors="replace").splitlines():
                if line.startswith(ANNOUNCEMENT):
                    return line.removeprefix(ANNOUNCEMENT).strip()
            if self._process.poll() is not None:
                break
            time.sleep(0.01)
        tail = "; ".join(self.log.read_text(errors="replace").splitlines()[-5:])
        raise BenchError(f"{self._name} did not start: {tail or 'it said nothing'}")


def cpu_s(pid: int) -> float | None:
    """User and system time of a process; None where there is no /proc or no such process."""
    times = _times(pid)
    return None if times is None else sum(times[:2])


def family_cpu_s(parent: int) -> float | None:
    """User and system time of a process and its children, those that have ended included."""
    times = _times(parent)
    if times is None:
        return None
    total = sum(times)
    for folder in Path("/proc").glob("[0-9]*"):
        fields = _fields(int(folder.name))
        if fields is not None and int(fields[1]) == parent:
            total += (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return total


def _times(pid: int) -> list[float] | None:
    """Seconds of user and system time, of the process and of its children that were waited for."""
    fields = _fields(pid)
    return None if fields is None else [int(field) / _TICKS_PER_S for field in fields[11:15]]


def _fields(pid: int) -> list[str] | None:
    """`/proc/<pid>/stat` from the third field on; the second may hold blanks and parentheses."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
