"""What the engine needs of the world: a store, a clock, a meter.

Narrow, so that a few lines can stand in for each.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pedro_ledger.ledger.account import Account, AccountQuery, Loaded, Unadopted
from pedro_ledger.ledger.errors import LedgerError
from pedro_ledger.ledger.units import Outcome, Unit


class AccountSource(Protocol):
    """Where accounts come from.

    Both raise `Unavailable` when the database cannot be asked, and `NotServed` when it refuses what
    is asked.
    """

    async def load(self, wanted: Sequence[AccountQuery]) -> Mapping[str, Loaded | Unadopted]:
        """Accounts by ref, as of one moment; a ref that names no user is left out."""
        ...

    async def adopt(self, users: Mapping[str, str]) -> Mapping[str, Loaded | Unadopted | LedgerError]:
        """Open accounts for users who have none, `users` by ref.

        Returns by ref what `load` finds then, or what the callers are told of a user who still has
        no account: `Busy` where somebody else has locked a row that is needed.
        """
        ...


class UnitStore(Protocol):
    """Where units go."""

    async def commit(self, units: Sequence[Unit[Any]]) -> list[Outcome]:
        """Write a batch, decided at one moment, in one transaction; an outcome per unit, in order.

        Raises `NotCommitted` when certainly nothing was written, `OutcomeUnknown` when that cannot
        be told.
        """
        ...

    async def settle(self, units: Sequence[Unit[Any]]) -> list[Outcome | None]:
        """Find out what became of a batch whose commit ended in `OutcomeUnknown`, under the
        accounts' row locks.

        None for a unit whose account somebody else has locked: that may be the commit itself.
        Raises `OutcomeUnknown` while nothing can be told.
        """
        ...

    async def find_locked(self, user_ids: Sequence[str]) -> frozenset[str]:
        """Those of the users of whom somebody else has locked a row now.

        Raises `Unavailable` when the database cannot be asked.
        """
        ...


class Meter(Protocol):
    """What the engine reports about itself. Durations in seconds."""

    def operation(self, kind: str, outcome: str) -> None:
        """One operation was answered."""

    def batch(self, units: int, operations: int, seconds: float) -> None:
        """One batch came back from the store."""

    def decided(self, operations: int, seconds: float) -> None:
        """Operations were decided for one batch."""

    def loaded(self, accounts: int, seconds: float) -> None:
        """Accounts were loaded in one query."""

    def adopted(self, outcome: str) -> None:
        """A user was `adopted`, was `busy`, or `failed` to be adopted."""

    def stale(self, units: int) -> None:
        """Units had to be decided again because another writer was faster."""

    def busy(self, units: int) -> None:
        """Units were deferred because somebody else had locked a row of their user."""

    def replayed(self, operations: int) -> None:
        """Operations were answered with what their key had been answered before."""

    def unknown(self, units: int) -> None:
        """A commit ended without an outcome."""

    def outcome(self, kind: str, credits: int) -> None:
        """Credits expired, rolled over, were set free by a lapse, … (see `ledger.outcomes`)."""

    def refused(self, reason: str) -> None:
        """An operation was turned away before it was decided: `mailbox`, `capacity`, `draining` or
        `deadline`.
        """


OnMoved = Callable[[Account], None]
"""Told of an account that was committed, or seen to be newer."""
OnFault = Callable[[str, LedgerError], None]
"""Told of a user who could not be served for what the caller cannot change, and of what the caller
was told.
"""
WallClock = Callable[[], int]
"""Milliseconds since 1970."""
