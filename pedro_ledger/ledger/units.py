"""The unit: what one actor hands to the committer. One user's decided operations, all or nothing; and what became of it."""

from typing import Generic, NamedTuple, TypeVar

from pedro_ledger.ledger.account import Account, Original
from pedro_ledger.ledger.decide import Facts, decide
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.errors import Refusal
from pedro_ledger.ledger.operations import Operation, Refund, fingerprint

T = TypeVar("T")


class Refused(NamedTuple):
    """A refusal on its way to the store: its key must be looked up, and kept if the refusal is remembered."""

    key: str
    fingerprint: bytes
    refusal: Refusal


class Stored(NamedTuple):
    """What the store has under an idempotency key: an entry, or a remembered refusal."""

    fingerprint: bytes
    entry: Entry | None
    refusal: Refusal | None


class Unit(Generic[T]):
    """Operations of one user decided in order on one revision of the account; `T` is what the owner ties to each."""

    __slots__ = ("after", "at_ms", "before", "decided", "facts", "originals", "writes")

    def __init__(self, account: Account, facts: Facts, at_ms: int) -> None:
        self.at_ms = at_ms
        """Milliseconds since 1970; every entry of the unit carries it."""
        self.before = account
        self.after = account
        self.decided: list[tuple[T, Entry | Refused]] = []
        self.writes = False
        self.originals: dict[int, Original | None] = {}
        if facts.originals:
            self.originals.update(facts.originals)
            facts = Facts(facts.prices, self.originals)
        self.facts = facts

    @property
    def user_id(self) -> str:
        """Whose operations these are."""
        return self.before.user_id

    def add(self, tied: T, operation: Operation) -> None:
        """Decide one more operation on the account as the ones before have left it."""
        decision = decide(self.after, operation, self.at_ms, self.facts)
        if isinstance(decision, Refusal):
            self.writes = self.writes or decision.remembered
            self.decided.append((tied, Refused(operation.key, fingerprint(operation), decision)))
            return
        self.writes = True
        self.after, entry = decision
        self.decided.append((tied, entry))
        if entry.related_seq is not None and isinstance(operation, Refund):
            self._count_refund(entry.related_seq, entry.credits)

    def seal(self) -> Account:
        """The account as it will be once the unit is committed: its revision moves once if anything is written."""
        if self.writes:
            user_id, tag, plan_key, revision, seq, posted, held, head = self.after
            self.after = Account(user_id, tag, plan_key, revision + 1, seq, posted, held, head)
        return self.after

    def settled(self, account: Account, answers: dict[str, Stored]) -> "Outcome":
        """What became of this unit, when its commit left that open: `account` and the `answers` under its keys as they are now.

        Applied only where the account stands exactly where the unit left it. The same answers beside another account may be
        those of an earlier unit, and whoever went on from `after` would then decide on an account that never was.
        """
        if not answers:
            return Stale(account)
        is_all_there = all(_is_answer(answers.get(decided.key), decided) for _, decided in self.decided)
        return APPLIED if is_all_there and account == self.after else Replayed(account, answers)

    def _count_refund(self, seq: int, credits: int) -> None:
        original = self.originals[seq]
        assert original is not None, "a linked refund was applied without its entry"
        self.originals[seq] = original._replace(credits_refunded=original.credits_refunded + credits)


def _is_answer(stored: Stored | None, decided: Entry | Refused) -> bool:
    if isinstance(decided, Entry):
        return stored is not None and stored.entry is not None and stored.entry.hash == decided.hash
    if not decided.refusal.remembered:
        return stored is None
    return stored is not None and stored.refusal is not None and stored.fingerprint == decided.fingerprint


class Applied(NamedTuple):
    """The unit is in the ledger."""


class Stale(NamedTuple):
    """Nothing of the unit was applied: the account had moved on. Decide again on `account`."""

    account: Account


class Replayed(NamedTuple):
    """Nothing of the unit was applied: some of its keys have answers already. Give these, decide the others again."""

    account: Account
    answers: dict[str, Stored]


Outcome = Applied | Stale | Replayed
APPLIED = Applied()
