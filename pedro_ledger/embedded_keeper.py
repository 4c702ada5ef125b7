"""Keeps the embedded PostgreSQL for as long as a daemon uses its data folder, then stops it.

Run as a script, in a session of its own, so that no daemon's end takes the server away from another one: each daemon holds
a shared lock on `users.lock`, which the kernel releases however the daemon ends; this process waits for the exclusive one.
Arguments: the lock file, seconds to linger after the last daemon, uid and gid of the server (-1: this process's own), log
file, then the server's command line. Imports the standard library only, for it starts with every daemon.
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


def end_with_parent() -> None:
    """In the server: a fast shutdown should this keeper be killed (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def wait_until_unused(lock_file: str, linger_s: float) -> int:
    """Return the exclusive lock, as a descriptor, once no daemon has come back for `linger_s`."""
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


def main(arguments: list[str]) -> int:
    """Start the server, wait until nobody uses it or it ends by itself, and see it out."""
    lock_file, linger_s, uid, gid, log_file, *command = arguments
    is_given = int(uid) >= 0
    with open(log_file, "ab") as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            preexec_fn=end_with_parent,  # noqa: PLW1509 - this process has one thread yet
            user=int(uid) if is_given else None,
            group=int(gid) if is_given else None,
            extra_groups=[] if is_given else None,
        )

    def stop_when_unused() -> None:
        lock = wait_until_unused(lock_file, float(linger_s))
        server.send_signal(signal.SIGINT)
        server.wait()
        os.close(lock)

    threading.Thread(target=stop_when_unused, daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.send_signal(signal.SIGINT))
    return server.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
