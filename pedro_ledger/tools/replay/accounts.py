"""The users of a run and what the replay itself knows of them: where they stood at first, and every
receipt since.
"""

from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from pedro_ledger.tools.replay.client import DaemonClient


class Known(NamedTuple):
    """What a receipt says of an entry."""

    seq: int
    credits: int
    """Signed: negative for a deduct."""
    balance_after: int

    def __str__(self) -> str:
        return f"seq {self.seq}, {self.credits} credits up to {self.balance_after}"


class ReplayUser:
    """One user of the run."""

    __slots__ = ("clerk_id", "credits", "deduct_url", "grants_url", "known", "oddity", "start_seq", "user_id")

    def __init__(self, clerk_id: str) -> None:
        self.clerk_id = clerk_id
        self.start_seq = 0
        """Entries up to here were there before the clock started; an earlier replay of the run
        wrote them.
        """
        self.credits = 0
        """What the balance must be: the one at the start, and every change since."""
        self.known: dict[str, Known] = {}
        """Entries of this run by their id, those of an earlier replay of it included: their
        receipts came again.
        """
        self.oddity: str | None = None
        """The first receipt that cannot be right."""

    async def prepare(self, client: DaemonClient) -> None:
        """Make the user, or find it, and see where it stands."""
        made = await client.post(client.url("/v1/users"), orjson.dumps({"clerkId": self.clerk_id}))
        self.user_id: str = made["id"]
        path = self.path
        self.deduct_url, self.grants_url = client.url(f"{path}/deduct"), client.url(f"{path}/grants")
        balance = await client.get(client.url(f"{path}/balance"))
        self.start_seq, self.credits = balance["seq"], balance["creditsRemaining"]

    @property
    def path(self) -> str:
        """The user's part of the API."""
        return f"/v1/users/{quote(self.user_id, safe='')}"

    def take(self, receipt: dict[str, Any], sign: int, asked: int | None) -> bool:
        """Book a receipt of `asked` credits (None: the price was the daemon's to find). Returns
        whether it is news, and not of an earlier replay of the run.
        """
        entry_id, credits, seq = receipt["entryId"], receipt["credits"], receipt["seq"]
        if entry_id in self.known:
            self._odd(f"entry {entry_id} was the answer to two operations")
            return False
        if asked is not None and credits != asked:
            self._odd(f"entry {entry_id} has {credits} credits, {asked} were asked for")
        self.known[entry_id] = Known(seq, sign * credits, receipt["creditsRemaining"])
        if seq <= self.start_seq:
            return False
        self.credits += sign * credits
        return True

    def _odd(self, what: str) -> None:
        self.oddity = self.oddity or what
