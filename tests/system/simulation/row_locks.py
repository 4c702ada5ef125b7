"""Who holds which rows: a program of the app's that forgets its transaction, and commits that the
server still works on.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple


class Hold(NamedTuple):
    """A program of the app's held a row of `user` from `begin` to `end` (seconds; infinity while it
    still does).
    """

    user: str
    begin: float
    end: float


class RowLocks:
    """Of each user the account and the balance."""

    def __init__(self) -> None:
        self.balances: set[str] = set()
        """Users whose balance the app holds."""
        self.accounts: Counter[str] = Counter()
        """Users whose account somebody has locked, and how many do or wait to."""
        self.holds: list[Hold] = []

    def begin(self, user: str, row: str, now: float) -> Hold:
        """The app takes a row and keeps it."""
        if row == "balance":
            self.balances.add(user)
        else:
            self.accounts[user] += 1
        self.holds.append(Hold(user, now, float("inf")))
        return self.holds[-1]

    def end(self, hold: Hold, row: str, now: float) -> None:
        """The app's transaction ends."""
        if row == "balance":
            self.balances.discard(hold.user)
        else:
            self.accounts[hold.user] -= 1
        self.holds[self.holds.index(hold)] = hold._replace(end=now)

    def locked_accounts(self, users: Iterable[str]) -> frozenset[str]:
        """Those of the users whose account somebody has locked."""
        return frozenset(user for user in users if self.accounts[user] > 0)

    def during(self, begin: float, end: float) -> list[Hold]:
        """What the app held at any moment between the two."""
        return [hold for hold in self.holds if hold.begin <= end and hold.end >= begin]
