"""Keeps the embedded PostgreSQL for as long as a daemon uses its data folder, then stops it.

Run as a script, in a session of its own, so that no daemon's end takes the server away from another
one: each daemon holds a shared lock on `users.lock`, which the kernel releases however the daemon
ends; this process waits for the exclusive one. A server that is killed, or that gives up (a full
disk), is started again while somebody uses it. Arguments: the lock file, seconds to linger after
the last daemon, uid and gid of the server (-1: this process's own), log file, then the server's
command line. Imports the standard library only, for it starts with every daemon.
"""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time

PR_SET_PDEATHSIG = 1
NEVER_WORKED_S = 2.0
"""A first server that gives up sooner has never worked: the daemon that waits for it reads the
reason in its log.
"""
RESTART_DELAYS_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Between tries; the last one for as long as it takes."""

_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def end_with_parent() -> None:
    """In the server: a fast shutdown should this keeper be killed (Linux)."""
    if _prctl is not None:
        _prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def wait_until_unused(lock_file: str, linger_s: float) -> int:
    """Return the exclusive lock, as a descriptor, once no daemon has come back for `linger_s`.

    Raises `FileNotFoundError` where the data folder was removed: nobody can come back to it.
    """
    while True:
        waited = os.open(lock_file, os.O_RDONLY)
        fcntl.flock(waited, fcntl.LOCK_EX)
        os.close(waited)
        time.sleep(linger_s)
        final = os.open(lock_file, os.O_RDONLY)
        try:
            fcntl.flock(final, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(final)
        else:
            return final


def has_live_postmaster(cluster: str) -> bool:
    """Whether a process has the cluster; after a crash its `postmaster.pid` names a dead one."""
    try:
        with open(os.path.join(cluster, "postmaster.pid")) as file:
            os.kill(int(file.readline()), 0)
    except (OSError, ValueError):
        return False
    return True


class Keeper:
    """One server and what becomes of it."""

    def __init__(self, command: list[str], log_file: str, owner: tuple[int, int] | None) -> None:
        self._command = command
        self._cluster = command[command.index("-D") + 1]
        self._log_file = log_file
        self._owner = owner
        self._is_over = threading.Event()
        self._server = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        with open(self._log_file, "ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
                preexec_fn=end_with_parent,  # noqa: PLW1509 - one system call, looked up before: needs no lock of a thread
                user=self._owner[0] if self._owner else None,
                group=self._owner[1] if self._owner else None,
                extra_groups=[] if self._owner else None,
            )

    def run(self) -> int:
        """Until the server was told to stop. Returns its exit status."""
        started = time.monotonic()
        status = self._server.wait()
        if status > 0 and time.monotonic() - started < NEVER_WORKED_S:
            return status
        tries = 0
        while status != 0 and not self._is_over.wait(RESTART_DELAYS_S[min(tries, len(RESTART_DELAYS_S) - 1)]):
            if has_live_postmaster(self._cluster):
                break  # a daemon that started meanwhile has launched its own
            if not os.path.exists(os.path.join(self._cluster, "PG_VERSION")):
                break  # the data folder was removed
            tries += 1
            self._server = self._start()
            if self._is_over.is_set():
                self.stop()  # it was asked for between the wait and the start
            status = self._server.wait()
        return status

    def stop(self) -> None:
        """A fast shutdown; returns at once."""
        self._is_over.set()
        self._server.send_signal(signal.SIGINT)

    def stop_when_unused(self, lock_file: str, linger_s: float) -> None:
        """Stop it after the last daemon.

        The lock is kept to the end: who comes now waits, then starts afresh.
        """
        try:
            lock = wait_until_unused(lock_file, linger_s)
        except FileNotFoundError:
            self.stop()
            return
        self.stop()
        self._server.wait()
        os.close(lock)


def main(arguments: list[str]) -> int:
    """Start the server, wait until nobody uses it or it ends by itself, and see it out."""
    lock_file, linger_s, uid, gid, log_file, *command = arguments
    keeper = Keeper(command, log_file, (int(uid), int(gid)) if int(uid) >= 0 else None)
    threading.Thread(target=keeper.stop_when_unused, args=(lock_file, float(linger_s)), daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: keeper.stop())
    return keeper.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
