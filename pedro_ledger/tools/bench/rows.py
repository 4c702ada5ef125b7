"""What is measured, and against what."""

from enum import StrEnum
from typing import NamedTuple


class Target(StrEnum):
    """What a row is run against; the rig starts it when the first row asks."""

    ECHO = "echo"
    DAEMON = "daemon"
    REMOTE_DAEMON = "remote-daemon"
    SIZE_DAEMON = "size-daemon"
    LOTS_DAEMON = "lots-daemon"
    FUNCTION = "function"
    REMOTE_FUNCTION = "remote-function"
    COPY = "copy"

    @property
    def is_daemon(self) -> bool:
        """Whether it is a daemon of ours, which counts what it answers."""
        return self in {Target.DAEMON, Target.REMOTE_DAEMON, Target.SIZE_DAEMON, Target.LOTS_DAEMON}


class Row(NamedTuple):
    """One line of the table."""

    name: str
    group: str
    """What `--rows` calls it."""
    target: Target
    connections: int
    what: str
    is_hot: bool = False
    """Whether one user takes the whole load."""
    batch: int = 1
    """Operations in a request, or in a transaction."""
    pairs: bool = False
    """Whether an operation is a hold and its capture, one after the other."""
    is_own: bool = False
    """Whether only our generator makes its load, to be comparable with what only it can make."""


ROWS = (
    Row("echo", "echo", Target.ECHO, 64, "bare JSON echo, the limit of one process"),
    Row("single-64", "single", Target.DAEMON, 64, "durable deduct over HTTP, 2,000 users"),
    Row("single-256", "single", Target.DAEMON, 256, "durable deduct over HTTP, 2,000 users"),
    Row("hot", "hot", Target.DAEMON, 64, "durable deduct over HTTP, one user", is_hot=True),
    Row("batch", "batch", Target.DAEMON, 6, "/v1/operations of 500", batch=500),
    Row("function", "function", Target.FUNCTION, 64, "SQL function per request, 2,000 users"),
    Row("function-hot", "function", Target.FUNCTION, 64, "SQL function per request, one user", is_hot=True),
    Row("copy", "copy", Target.COPY, 1, "COPY of 500 rows a transaction into UsageHistory", batch=500),
    Row("remote-single", "remote", Target.REMOTE_DAEMON, 64, "single, database 1 ms away"),
    Row("remote-hot", "remote", Target.REMOTE_DAEMON, 64, "hot, database 1 ms away", is_hot=True),
    Row("remote-function", "remote", Target.REMOTE_FUNCTION, 64, "function, database 1 ms away"),
    Row("remote-function-hot", "remote", Target.REMOTE_FUNCTION, 64, "function hot, database 1 ms away", is_hot=True),
    Row("size-single", "size", Target.SIZE_DAEMON, 64, "single in a large ledger"),
    Row("lots", "lots", Target.LOTS_DAEMON, 64, "single, users with 8 grants that end"),
    Row("single-own", "holds", Target.DAEMON, 64, "single, by the generator of the next row", is_own=True),
    Row("hold+capture", "holds", Target.DAEMON, 64, "a hold and its capture, 2,000 users", pairs=True, is_own=True),
)

GROUPS = (*dict.fromkeys(row.group for row in ROWS), "cpu")
_NEEDED = {"cpu": ("echo", "single"), "size": ("size", "single"), "lots": ("lots", "single")}
"""Rows that only mean something beside others."""


def choose(groups: list[str]) -> tuple[Row, ...]:
    """The rows of these groups, in the table's order.

    Raises `ValueError` that names a group that there is not.
    """
    wanted: set[str] = set()
    for group in groups:
        if group not in GROUPS:
            raise ValueError(f"--rows: there is no row {group!r}; there are {', '.join(GROUPS)}")
        wanted.update(_NEEDED.get(group, (group,)))
    return tuple(row for row in ROWS if row.group in wanted)


COMPARABLE = ("single", "hot", "batch", "remote")
"""Groups that run on another checkout's daemon too.

Not `size`: its ledger is written in this checkout's schema.
"""


def choose_comparable(groups: list[str]) -> tuple[Row, ...]:
    """The rows of these groups that a daemon answers.

    Raises `ValueError` for a group that has none, or not for two checkouts.
    """
    for group in groups:
        if group not in COMPARABLE:
            raise ValueError(f"--rows: {group!r} is not compared; with --against there are {', '.join(COMPARABLE)}")
    return tuple(row for row in choose(groups) if row.target.is_daemon)
