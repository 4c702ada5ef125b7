"""`pedro-ledger` with one part altered, for trials that need what no setting offers: `python -m
tests.system.faults.altered_daemon serve`.

PEDRO_TEST_SESSION     JSON that replaces what the daemon sets on its database sessions
PEDRO_TEST_CLOCK_FILE  a file with the milliseconds by which the daemon's clock is wrong
"""

import json
import os
from pathlib import Path
from time import time_ns

from pedro_ledger.cli.main import main
from pedro_ledger.daemon import app
from pedro_ledger.postgres import sessions


def alter() -> None:
    if session := os.environ.get("PEDRO_TEST_SESSION"):
        sessions.SESSION_SETTINGS.update(json.loads(session))
    if clock := os.environ.get("PEDRO_TEST_CLOCK_FILE"):
        app.wall_clock_ms = lambda: time_ns() // 1_000_000 + int(Path(clock).read_text())


if __name__ == "__main__":
    alter()
    main()
