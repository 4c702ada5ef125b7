"""Whether the books agree: balances and statements, read back over HTTP, against what the replay
knows itself.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from pedro_ledger.tools.replay.accounts import ReplayUser
from pedro_ledger.tools.replay.client import DaemonClient
from pedro_ledger.tools.replay.parallel import Stage, in_parallel

PAGE_SIZE = 200
READINGS_MAX, READING_PAUSE_S = 20, 0.5
"""How often a statement is read again that ends before the balance read first, and how long
after.
"""


class Disagreement(NamedTuple):
    """A user whose books are not what the replay knows."""

    user_id: str
    clerk_id: str
    problem: str


class Books:
    """What was compared, and where it differs."""

    def __init__(self) -> None:
        self.users = 0
        self.entries = 0
        self.disagreements: list[Disagreement] = []

    @property
    def agree(self) -> bool:
        """Whether every user's books are as the replay knows them."""
        return not self.disagreements


async def compare_books(client: DaemonClient, users: Sequence[ReplayUser], *, concurrency: int, stage: Stage) -> Books:
    """Read the books of all users of the run and compare them; disagreements in the order of
    `users`.
    """
    books = Books()
    found: dict[str, Disagreement] = {}

    async def compare(user: ReplayUser) -> None:
        balance = await client.get(client.url(f"{user.path}/balance"))
        for _ in range(READINGS_MAX):
            statement = await read_statement(client, user)
            if balance["seq"] <= (statement[-1]["seq"] if statement else 0):
                break
            await asyncio.sleep(READING_PAUSE_S)  # statements may come from a replica that lags
        books.users += 1
        books.entries += len(statement)
        problem = disagreement(user, balance, statement)
        if problem is not None:
            found[user.clerk_id] = Disagreement(user.user_id, user.clerk_id, problem)

    await in_parallel(users, compare, workers=concurrency, stage=stage)
    books.disagreements = [found[user.clerk_id] for user in users if user.clerk_id in found]
    return books


async def read_statement(client: DaemonClient, user: ReplayUser) -> list[dict[str, Any]]:
    """All entries of a user, oldest first."""
    entries: list[dict[str, Any]] = []
    first = f"{user.path}/statement?limit={PAGE_SIZE}"
    path = first
    while True:
        page = await client.get(client.url(path))
        entries += page["items"]
        if page["nextCursor"] is None:
            return entries
        path = f"{first}&cursor={page['nextCursor']}"


def disagreement(user: ReplayUser, balance: dict[str, Any], statement: Sequence[dict[str, Any]]) -> str | None:
    """The first thing that is wrong with a user's books, None where all is right."""
    return user.oddity or _in_entries(user, statement) or _in_sums(user, balance, statement)


def _in_entries(user: ReplayUser, statement: Sequence[dict[str, Any]]) -> str | None:
    """The user belongs to the run, so past `user.start_seq` every entry must have a receipt.

    Up to there entries may stand that have none: the signup's, and those of an earlier replay of
    the run that went further.
    """
    posted = 0
    for seq, entry in enumerate(statement, 1):
        posted += entry["credits"]
        known = user.known.get(entry["id"])
        if entry["seq"] != seq:
            return f"the statement has seq {entry['seq']} where {seq} is due"
        if entry["balanceAfter"] != posted:
            return f"seq {seq} has the balance {entry['balanceAfter']}, the entries up to it sum to {posted}"
        if known is None and seq > user.start_seq:
            return f"seq {seq} is a {entry['type']} of {entry['credits']} credits that the replay has no receipt of"
        if known is not None and (seq, entry["credits"], posted) != known:
            return f"seq {seq} is {entry['credits']} credits up to {posted}, its receipt says {known}"
    if lost := user.known.keys() - {entry["id"] for entry in statement}:
        return f"{len(lost)} entries with receipts are not in the statement, the first is {min(lost)}"
    return None


def _in_sums(user: ReplayUser, balance: dict[str, Any], statement: Sequence[dict[str, Any]]) -> str | None:
    stated = sum(entry["credits"] for entry in statement)
    if stated != user.credits:
        return f"the statement comes to {stated} credits, the replay's own sum to {user.credits}"
    if balance["creditsRemaining"] != user.credits:
        return f"the balance is {balance['creditsRemaining']} credits, the replay's own sum {user.credits}"
    return None
