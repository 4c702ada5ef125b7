"""What PostgreSQL promises the engine, in a page: units all or nothing, on the revision that they
were decided on, a key once.

Every write is checked as it happens, so that the step that breaks a promise is the one that fails.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pedro_ledger.ledger.account import Account, AccountQuery, Loaded, Original, Unadopted
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.errors import NotCommitted
from pedro_ledger.ledger.evidence.audit import AccountSnapshot, UserAudit
from pedro_ledger.ledger.originals import effects_of, original_of
from pedro_ledger.ledger.units import APPLIED, BUSY, Outcome, Refused, Replayed, Stale, Stored, Unit
from tests.system.simulation.row_locks import RowLocks

AnyUnit = Unit[Any]
OWN_KEY = "§"
"""Keys of what the ledger books by itself begin with it."""
POISON = '"poison"'
"""Details that this database refuses."""


class Broken(AssertionError):
    """A promise was broken."""


def promise(kept: bool, what: str) -> None:
    """Raise `Broken` unless `kept`."""
    if not kept:
        raise Broken(what)


class World:
    """The one truth that all replicas share."""

    def __init__(self, users: Sequence[str], credits: int) -> None:
        self.accounts = {user: Account.new(user)._replace(posted=credits) for user in users}
        self.opening = credits
        self.entries: dict[str, list[Entry]] = {user: [] for user in users}
        self.answers: dict[str, dict[str, Stored]] = {user: {} for user in users}
        self.locks = RowLocks()
        self.open_attempts: Counter[tuple[str, str]] = Counter()
        """How many attempts under a user's key may still take effect: without an answer, or
        answered "unknown".
        """
        self.unadopted = set[str]()
        """Users without an account, until one of the replicas has them adopted."""
        self.broken: Broken | None = None
        """The first promise that a write broke, whoever waited for its answer."""

    def read(self, wanted: Sequence[AccountQuery]) -> dict[str, Loaded | Unadopted]:
        """Accounts as of now."""
        found: dict[str, Loaded | Unadopted] = {}
        for want in wanted:
            user = want.ref.removeprefix("clerk:")
            if user in self.unadopted:
                found[want.ref] = Unadopted(user)
            elif user in self.accounts:
                originals = {seq: self._original(user, seq) for seq in want.original_seqs}
                found[want.ref] = Loaded(self.accounts[user], originals)
        return found

    def apply(self, units: Sequence[AnyUnit]) -> list[Outcome]:
        """Write a batch.

        Raises `NotCommitted` with nothing written when the database refuses something in it.
        """
        promise(len({unit.user_id for unit in units}) == len(units), "two units of one user in one batch")
        if any(
            isinstance(decided, Entry) and decided.details == POISON for unit in units for _, decided in unit.decided
        ):
            raise NotCommitted("poison", poisoned=True)
        try:
            promise(not any(unit.user_id in self.unadopted for unit in units), "a commit for a user without an account")
            return [self._apply(unit) for unit in units]
        except Broken as broken:
            self.broken = self.broken or broken
            raise

    def settle(self, units: Sequence[AnyUnit]) -> list[Outcome | None]:
        """What became of units whose commit ended without an answer; None where somebody holds the
        account.
        """
        locked = self.locks.locked_accounts(unit.user_id for unit in units)
        return [
            None if unit.user_id in locked else unit.settled(self.accounts[unit.user_id], self._known(unit))
            for unit in units
        ]

    def audit(self) -> None:
        """Every user's chain leads to the account, and no write broke a promise on the way."""
        if self.broken is not None:
            raise self.broken
        for user, account in self.accounts.items():
            audit = UserAudit(user)
            audit.posted = self.opening
            for entry in self.entries[user]:
                audit.follow(entry)
            standing = AccountSnapshot(
                user, account.seq, account.posted, account.held, account.head, account.posted, account.open
            )
            problem = audit.close(standing)
            promise(problem is None, f"the books do not agree: {problem}")

    def _apply(self, unit: AnyUnit) -> Outcome:
        user, account = unit.user_id, self.accounts[unit.user_id]
        known = self._known(unit)
        if known:
            return Replayed(account, known)
        if account.revision != unit.before.revision:
            return Stale(account)
        decided = [each for _, each in unit.decided if isinstance(each, Entry)]
        if user in self.locks.balances and (decided or unit.booked):
            return BUSY
        for entry in sorted([*unit.booked, *decided], key=lambda each: each.seq):
            self._append(user, entry)
        for _, each in unit.decided:
            if isinstance(each, Refused) and each.refusal.remembered:
                self.answers[user][each.key] = Stored(each.fingerprint, None, each.refusal)
        self.accounts[user] = unit.after
        return APPLIED

    def _append(self, user: str, entry: Entry) -> None:
        entries = self.entries[user]
        promise(entry.key not in self.answers[user], f"key {entry.key} of {user} is applied twice")
        promise(entry.seq == len(entries) + 1, f"entry {entry.seq} of {user} does not follow {len(entries)}")
        promise(entry.balance_after >= 0, f"{user} has {entry.balance_after} credits")
        promise(
            entry.key.startswith(OWN_KEY) or self.open_attempts[user, entry.key] > 0,
            f"key {entry.key} of {user} took effect after each attempt was answered without effect",
        )
        entries.append(entry)
        self.answers[user][entry.key] = Stored(entry.fingerprint, entry, None)

    def _known(self, unit: AnyUnit) -> dict[str, Stored]:
        answers = self.answers[unit.user_id]
        return {decided.key: answers[decided.key] for _, decided in unit.decided if decided.key in answers}

    def _original(self, user: str, seq: int) -> Original | None:
        if seq > len(self.entries[user]):
            return None
        entry = self.entries[user][seq - 1]
        lots = {lot for lot, _ in effects_of(entry).get("lots", ()) if lot}
        related = [each for each in self.entries[user] if each.related_seq == seq]
        ends = [each for each in self.entries[user] if each.kind == "expiry" and each.related_seq in lots]
        return original_of(entry, related, [*(self.entries[user][lot - 1] for lot in lots), *ends])
