"""The unit: what one actor hands to the committer.

One user's decided operations, all or nothing; and what became of it.
"""

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from pedro_ledger.ledger.account import Account, Closing, Original
from pedro_ledger.ledger.decide import Facts, decide
from pedro_ledger.ledger.due import book_due
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.errors import Refusal
from pedro_ledger.ledger.holds import heartbeat, hold_id
from pedro_ledger.ledger.limits import drop_limit, metered, set_limit
from pedro_ledger.ledger.meters import Meter
from pedro_ledger.ledger.open_items import Open, OpenHold
from pedro_ledger.ledger.operations import (
    EXPIRY_KEY,
    LAPSE_KEY,
    DropLimit,
    Keyless,
    OfHold,
    OfLimits,
    Operation,
    Refund,
    SetLimit,
    Touch,
    fingerprint,
)

T = TypeVar("T")


class Refused(NamedTuple):
    """A refusal on its way to the store: its key must be looked up, and kept if the refusal is
    remembered.
    """

    key: str
    fingerprint: bytes
    refusal: Refusal


class Moved(NamedTuple):
    """A heartbeat, a touch or a limit on its way to the store: it moves the account and makes no
    entry.
    """

    hold: OpenHold | None = None
    """The hold that was heard of, as it is now."""
    available: int = 0
    """Credits that can be spent, as of then."""
    key: str = ""


class Stored(NamedTuple):
    """What the store has under an idempotency key: an entry, or a remembered refusal."""

    fingerprint: bytes
    entry: Entry | None
    refusal: Refusal | None


class Unit(Generic[T]):
    """Operations of one user decided in order on one revision of the account; `T` is what the owner
    ties to each.
    """

    __slots__ = ("after", "at_ms", "before", "booked", "decided", "facts", "originals", "writes")

    def __init__(self, account: Account, facts: Facts, at_ms: int) -> None:
        self.at_ms = at_ms
        """Milliseconds since 1970; every entry of the unit carries it."""
        self.before = account
        self.after = account
        self.booked: list[Entry] = []
        """What was due and had to be booked first; nobody asked for it."""
        self.decided: list[tuple[T, Entry | Refused | Moved]] = []
        self.writes = False
        self.originals: dict[int, Original | None] = {}
        if facts.originals:
            self.originals.update(facts.originals)
            facts = facts._replace(originals=self.originals)
        self.facts = facts

    def missing(self, operation: Operation | Keyless) -> int | None:
        """The seq of an earlier entry that must be loaded before `operation` can be decided; None
        where none is missing.
        """
        seq = named_seq(operation)
        if seq is None or seq in self.originals:
            return None
        if isinstance(operation, OfHold) and self.after.open is not None and self.after.open.hold(seq) is not None:
            return None
        return seq

    def meter(self, read: Sequence[Meter]) -> None:
        """Bring the meters of spend limits to now, before anything is decided; `read` are those of
        new limits.
        """
        self.after = metered(self.after, self.facts.limits, read, self.at_ms)

    @property
    def user_id(self) -> str:
        """Whose operations these are."""
        return self.before.user_id

    def add(self, tied: T, operation: Operation | Keyless) -> None:
        """Decide one more operation on the account as the ones before have left it; what is due is
        booked before and after.
        """
        is_open = self.after.open is not None
        if is_open:
            self._book_due()
        if isinstance(operation, Keyless):
            self._move(tied, operation)
            return
        decision = decide(self.after, operation, self.at_ms, self.facts)
        if isinstance(decision, Refusal):
            self.writes = self.writes or decision.remembered
            self.decided.append((tied, Refused(operation.key, fingerprint(operation), decision)))
            return
        self.writes = True
        state = self.after.open
        self.after, entry = decision
        self.decided.append((tied, entry))
        if entry.related_seq is not None and isinstance(operation, Refund):
            self._count_refund(entry.related_seq, entry.credits)
        if is_open or self.after.open is not None or isinstance(operation, OfHold):
            self._note_closed(state, [entry])
            self._book_due()

    def _book_due(self) -> None:
        state = self.after.open
        after, booked = book_due(self.after, self.at_ms)
        if booked:
            self.writes = True
            self.after = after
            self.booked += booked
            self._note_closed(state, booked)

    def _note_closed(self, state: Open | None, entries: Sequence[Entry]) -> None:
        """Remember how holds ended: the next operation of this unit may name one, and nothing of it
        is stored yet.
        """
        if self.facts.originals is not self.originals:
            self.facts = self.facts._replace(originals=self.originals)
        for entry in entries:
            if entry.related_seq is None or entry.kind not in CLOSING_KINDS:
                continue
            if entry.key.startswith(EXPIRY_KEY):
                self._note_ended(entry.related_seq)
                continue
            hold = None if state is None else state.hold(entry.related_seq)
            if hold is not None and (self.after.open is None or self.after.open.hold(hold.seq) is None):
                self.originals[hold.seq] = closed_hold(self.after, hold, entry)
            elif hold is None and (known := self.originals.get(entry.related_seq)) is not None and known.closing:
                self.originals[entry.related_seq] = known._replace(
                    credits_used=known.credits_used - entry.credits,
                    closing=known.closing._replace(is_captured_late=True),
                )

    def _note_ended(self, lot_seq: int) -> None:
        """A lot has ended, perhaps before its grant said: a refund that was loaded before must not
        revive it.
        """
        for seq, original in self.originals.items():
            if original is not None and (lot := original.terms.get(lot_seq)) is not None:
                terms = {**original.terms, lot_seq: lot._replace(is_closed=True)}
                self.originals[seq] = original._replace(terms=terms)

    def _move(self, tied: T, operation: Keyless) -> None:
        """What makes no entry.

        It has no idempotency key: repeating it is harmless.
        """
        if isinstance(operation, Touch):
            self.writes = True  # the stored moment may be too early, and is corrected
            self.decided.append((tied, Moved()))
            return
        if isinstance(operation, OfLimits):
            after = self._limited(operation)
        else:
            after = heartbeat(self.after, operation, self.originals.get(operation.hold_seq), self.at_ms)
        if isinstance(after, Refusal):
            self.decided.append((tied, Refused("", b"", after)))
            return
        self.writes = self.writes or after != self.after
        self.after = after
        seq = None if isinstance(operation, OfLimits) else operation.hold_seq
        hold = None if after.open is None or seq is None else after.open.hold(seq)
        self.decided.append((tied, Moved(hold, after.available)))

    def _limited(self, operation: SetLimit | DropLimit) -> Account | Refusal:
        if isinstance(operation, SetLimit):
            return set_limit(self.after, operation)
        return drop_limit(self.after, operation)

    @property
    def is_due_exact(self) -> bool:
        """Whether the account's due moment is to be written as it is; otherwise an earlier one may
        stay where it is stored.
        """
        return bool(self.booked) or any(
            isinstance(decided, Moved) and decided.hold is None for _, decided in self.decided
        )

    def seal(self) -> Account:
        """The account as it will be once the unit is committed: its revision moves once if anything
        is written.
        """
        if self.writes:
            user_id, tag, plan_id, revision, seq, posted, held, head, state = self.after
            self.after = Account(user_id, tag, plan_id, revision + 1, seq, posted, held, head, state)
        else:
            self.after = self.before
        return self.after

    def settled(self, account: Account, answers: dict[str, Stored]) -> "Applied | Stale | Replayed":
        """What became of this unit, when its commit left that open: `account` and the `answers`
        under its keys as they are now.

        Applied only where the account stands exactly where the unit left it. The same answers
        beside another account may be those of an earlier unit, and whoever went on from `after`
        would then decide on an account that never was.
        """
        if not answers:
            return Stale(account)
        is_all_there = all(_is_answer(answers.get(decided.key), decided) for _, decided in self.decided)
        return APPLIED if is_all_there and account == self.after else Replayed(account, answers)

    def _count_refund(self, seq: int, credits: int) -> None:
        original = self.originals[seq]
        assert original is not None, "a linked refund was applied without its entry"
        self.originals[seq] = original._replace(credits_refunded=original.credits_refunded + credits)


def named_seq(operation: Operation | Keyless) -> int | None:
    """The seq of the earlier entry that an operation names."""
    if isinstance(operation, Refund):
        return operation.entry_seq
    return operation.hold_seq if isinstance(operation, OfHold) else None


CLOSING_KINDS = frozenset({"capture", "void", "expiry"})


def closed_hold(account: Account, hold: OpenHold, entry: Entry) -> Original:
    """A hold that `entry` closed, as the next operation that names it sees it."""
    has_lapsed = entry.key.startswith(LAPSE_KEY)
    at_ms = entry.expires_at_ms if has_lapsed and entry.expires_at_ms is not None else entry.at_ms
    closing = Closing(entry.id, entry.kind, at_ms, has_lapsed, -entry.credits if has_lapsed else 0)
    return Original(
        hold.seq, hold_id(account, hold), "hold", hold.operation_type, hold.captured - entry.credits, 0, hold=hold,
        closing=closing,
    )  # fmt: skip


def _is_answer(stored: Stored | None, decided: Entry | Refused | Moved) -> bool:
    if isinstance(decided, Entry):
        return stored is not None and stored.entry is not None and stored.entry.hash == decided.hash
    if isinstance(decided, Moved) or not decided.refusal.remembered:
        return stored is None
    return stored is not None and stored.refusal is not None and stored.fingerprint == decided.fingerprint


class Applied(NamedTuple):
    """The unit is in the ledger."""


class Stale(NamedTuple):
    """Nothing of the unit was applied: the account had moved on. Decide again on `account`."""

    account: Account


class Replayed(NamedTuple):
    """Nothing of the unit was applied: some of its keys have answers already.

    Give these, decide the others again.
    """

    account: Account
    answers: dict[str, Stored]


class Busy:
    """Nothing of the unit was applied: somebody else has locked a row of its user.

    Decide again when it is free.
    """

    __slots__ = ()  # no tuple: two empty ones are equal, and this is not `Applied`


Outcome = Applied | Stale | Replayed | Busy
APPLIED = Applied()
BUSY = Busy()
