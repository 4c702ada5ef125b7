"""The actor: what empties one user's mailbox, one unit at a time.

It is a state machine, not a task: the submit that finds it resting and the commit that just
finished for it step it.
"""

from collections import deque
from collections.abc import Sequence
from enum import Enum, auto
from itertools import chain, islice

from pedro_ledger.engine.byte_budget import large_bytes
from pedro_ledger.engine.mailbox import Mailbox
from pedro_ledger.engine.submission import Answer, Submission
from pedro_ledger.ledger.account import Account, Loaded, Original
from pedro_ledger.ledger.decide import Facts
from pedro_ledger.ledger.entries import Entry, Receipt
from pedro_ledger.ledger.errors import Busy, IdempotencyKeyReused, LedgerError, Unavailable
from pedro_ledger.ledger.limits import is_limited, unread
from pedro_ledger.ledger.meters import Meter, MeterQuery
from pedro_ledger.ledger.operations import Deduct, Grant, Keyless, OfLimits, fingerprint
from pedro_ledger.ledger.units import Applied, Moved, Refused, Replayed, Stale, Stored, Unit, named_seq

PLAIN = frozenset({Deduct, Grant})
"""Operations that name no earlier entry; nearly all are."""
ORIGINALS_PER_LOAD_MAX = 1000
"""Earlier entries of one user that are read in one query."""


class Phase(Enum):
    """Where an actor is in its cycle."""

    RESTING = auto()
    LOADING = auto()
    WAITING = auto()
    COMMITTING = auto()
    BUSY = auto()
    """Somebody else has locked a row of the user; see `busy`."""


class UserActor:
    """One user's account as last committed, the operations that wait for it, and the unit that is
    under way.
    """

    __slots__ = (
        "account",
        "followers",
        "is_outdated",
        "mailbox",
        "meters",
        "missing_meters",
        "missing_originals",
        "one_by_one",
        "originals",
        "phase",
        "put_back",
        "refs",
        "touched_at",
        "unit",
        "unit_bytes",
    )

    def __init__(self, ref: str) -> None:
        self.refs: tuple[str, ...] = (ref,)
        self.account: Account | None = None
        self.is_outdated = False
        """Whether the account must be read anew before the next unit."""
        self.phase = Phase.RESTING
        self.touched_at = 0.0
        self.mailbox: Mailbox | None = None
        self.put_back: deque[Submission] | None = None
        """Taken out of the mailbox, but to be decided (again): these come before the mailbox."""
        self.unit: Unit[Submission] | None = None
        self.unit_bytes = 0
        """What the large details in it take; only where `take_unit` was told a bound."""
        self.followers: dict[str, list[Submission]] | None = None
        """Submissions that repeat a key of the unit under way, by that key."""
        self.originals: dict[int, Original | None] = {}
        self.missing_originals: set[int] | None = None
        self.meters: Sequence[Meter] = ()
        """What was read for spend limits that are new to the account, as of its revision."""
        self.missing_meters: Sequence[MeterQuery] = ()
        self.one_by_one = 0
        """How many of the next operations go into a unit alone, to find the one that the database
        refuses.
        """

    @property
    def has_work(self) -> bool:
        """Whether anything waits to be decided."""
        return bool(self.put_back) or (self.mailbox is not None and not self.mailbox.empty())

    @property
    def needs_loading(self) -> bool:
        """Whether the account, an entry that a refund names, or what was spent in the window of a
        new limit must be read before the next unit.
        """
        return self.account is None or self.is_outdated or bool(self.missing_originals or self.missing_meters)

    @property
    def waiting(self) -> int:
        """How many submissions wait to be decided."""
        return len(self.put_back or ()) + (self.mailbox.qsize() if self.mailbox is not None else 0)

    @property
    def user_id(self) -> str:
        """Whose actor it is, once the account is loaded."""
        assert self.account is not None, "the actor has loaded its account"
        return self.account.user_id

    def load(self, loaded: Loaded) -> bool:
        """Stand on a freshly read account. Returns whether the user's Clerk id has changed since
        the last.

        What is known of earlier entries holds as long as the account has not moved.
        """
        before, self.account = self.account, loaded.account
        if self.originals and before is not None and before.revision == loaded.account.revision:
            self.originals = {**self.originals, **loaded.originals}
        else:
            self.originals = loaded.originals
        if self.meters and before is not None and before.revision == loaded.account.revision:
            self.meters = (*self.meters, *loaded.meters)
        else:
            self.meters = loaded.meters
        self.missing_originals, self.is_outdated = None, False
        self.missing_meters = ()
        return before is not None and before.clerk_moves != loaded.account.clerk_moves

    def take_unit(
        self, now_ms: int, facts: Facts, operations_max: int, bytes_max: int | None = None
    ) -> Unit[Submission] | None:
        """Decide what waits, at most `operations_max`, up to the first with large details after
        `bytes_max` of them; None when nothing could be decided now.
        """
        assert self.account is not None, "an actor decides on a loaded account"
        unit = self._begin(self.account, now_ms, facts)
        if unit is None:
            return None
        self.unit_bytes = self._fill(unit, self._at_most(operations_max), bytes_max)
        if not unit.decided:
            return None
        unit.seal()
        self.unit = unit
        return unit

    def _fill(self, unit: Unit[Submission], operations_max: int, bytes_max: int | None) -> int:
        """Decide what waits. Returns the bytes of large details among it."""
        mailbox, put_back, keys, size = self.mailbox, self.put_back, set[str](), 0
        while len(unit.decided) < operations_max:
            if put_back:
                submission = put_back.popleft()
            elif mailbox is not None and not mailbox.empty():
                submission = mailbox.get_nowait()
            else:
                break
            if submission.is_answered:
                continue
            operation = submission.operation
            if operation.key in keys:
                self._follow(submission)
                continue
            if type(operation) not in PLAIN:
                if unit.missing(operation) is not None:
                    self._wait_for_originals(submission, unit)
                    break
                if isinstance(operation, OfLimits):
                    operations_max = 0  # what comes after it may need another meter
            if bytes_max is not None and (large := large_bytes(operation)):
                if size >= bytes_max:
                    self._put_back_first(submission)
                    break
                size += large
            if operation.key:  # a heartbeat or a touch has none
                keys.add(operation.key)
            unit.add(submission, operation)
        return size

    def _at_most(self, operations_max: int) -> int:
        if not self.one_by_one:
            return operations_max
        self.one_by_one -= 1
        return 1

    def _begin(self, account: Account, now_ms: int, facts: Facts) -> Unit[Submission] | None:
        """An empty unit; None where what was spent in the window of a new limit must be read
        first.
        """
        if self.originals:
            facts = facts._replace(originals=self.originals)
        unit: Unit[Submission] = Unit(account, facts, now_ms)
        if is_limited(account, facts.limits):
            self.missing_meters = unread(account, facts.limits, self.meters, now_ms)
            if self.missing_meters:
                return None
            unit.meter(self.meters)
        return unit

    def finish(self, outcome: Applied | Stale | Replayed) -> bool:
        """Take in what became of the unit under way: answer, or put back what was not applied, to
        be decided again.

        Returns whether the user's Clerk id has changed since the unit was decided.
        """
        unit, followers = self.unit, self.followers
        assert unit is not None, "an actor finishes the unit that it handed over"
        self.unit = self.followers = None
        self.meters = ()
        if isinstance(outcome, Applied):
            self.account = unit.after
            self.originals = unit.originals
            user_id = unit.user_id
            for submission, decided in unit.decided:
                if isinstance(decided, Entry):
                    submission.answer(Answer(Receipt.of(user_id, decided), None))
                elif isinstance(decided, Refused):
                    submission.answer(Answer(None, decided.refusal))
                else:
                    submission.answer(Answer(None, None, moved=decided))
            if followers:
                self._answer_followers(unit, followers)
            return False
        self.account = outcome.account
        self.originals = {}
        answers = outcome.answers if isinstance(outcome, Replayed) else {}
        has_moved = outcome.account.clerk_moves != unit.before.clerk_moves
        self._redo(unit, followers, answers, has_moved=has_moved)
        return has_moved

    def _redo(
        self,
        unit: Unit[Submission],
        followers: dict[str, list[Submission]] | None,
        answers: dict[str, Stored] | None = None,
        *,
        has_moved: bool = False,
    ) -> None:
        """Answer what the store had answers for; put the rest back in order, before everything
        newer.

        Where the user's Clerk id has changed, what names one is for another user now, but what is
        in doubt may have been applied to this one.
        """
        again: list[Submission] = []
        for submission, _ in unit.decided:
            for each in self._with_followers(submission, followers):
                stored = (answers or {}).get(each.operation.key)
                if stored is None or (has_moved and each.names_clerk_id and not each.in_doubt):
                    again.append(each)
                else:
                    each.answer(replay(unit.user_id, each, stored))
        if again:
            if self.put_back is None:
                self.put_back = deque()
            self.put_back.extendleft(reversed(again))

    def abandon_unit(self) -> None:
        """The unit certainly was not committed: decide it again."""
        unit, followers = self.unit, self.followers
        assert unit is not None, "an actor abandons the unit that it handed over"
        self.unit = self.followers = None
        self.originals = {}
        self.meters = ()
        self._redo(unit, followers)

    def mark_in_doubt(self) -> None:
        """The commit of the unit under way ended without an outcome. Even when the database does
        not know it now, the network may still deliver it: until it is decided again, nobody may be
        told that it was not applied.
        """
        assert self.unit is not None, "an actor learns this of the unit that it handed over"
        for submission, _ in self.unit.decided:
            for each in self._with_followers(submission, self.followers):
                each.in_doubt = True

    def fail_unit(self, error: LedgerError) -> None:
        """The unit certainly was not committed and never will be: tell its callers, and read the
        account anew before the next.
        """
        unit, followers = self.unit, self.followers
        assert unit is not None, "an actor fails the unit that it handed over"
        self.unit = self.followers = None
        self.originals, self.is_outdated, self.meters = {}, True, ()
        for submission, _ in unit.decided:
            for each in self._with_followers(submission, followers):
                each.answer(Answer(None, _as_told(each, error)))

    def fail_waiting(self, error: LedgerError) -> None:
        """Tell everybody who waits, but not those whose unit is under way."""
        for submission in self._drain():
            submission.answer(Answer(None, _as_told(submission, error)))

    def fail_originals(self, error: LedgerError) -> None:
        """Entries that are named cannot be read: read them one by one, and tell who names the one
        that is to blame.
        """
        missing = self.missing_originals
        assert missing, "an actor learns this of entries that it asked for"
        if len(missing) > 1:
            self.missing_originals = {min(missing)}
            return
        self.missing_originals = None
        waiting = self._drain()
        self.put_back = deque(each for each in waiting if named_seq(each.operation) not in missing)
        for submission in waiting:
            if named_seq(submission.operation) in missing:
                submission.answer(Answer(None, _as_told(submission, error)))

    def expire(self, now: float) -> int:
        """Answer what is past its deadline (`now` and deadlines on the loop's clock).

        Returns how many.
        """
        expired = 0
        if self.unit is not None:
            for submission, _ in self.unit.decided:
                for each in self._with_followers(submission, self.followers):
                    if each.deadline <= now and not each.is_answered:
                        each.answer(Answer(None, OUTCOME_UNKNOWN))
                        expired += 1
        if self._first_deadline() <= now:
            late, kept = list[Submission](), deque[Submission]()
            for submission in self._drain():
                (late if submission.deadline <= now else kept).append(submission)
            self.put_back = kept
            not_sent = BUSY if self.phase is Phase.BUSY else NOT_REACHED
            for submission in late:
                if not submission.is_answered:
                    submission.answer(Answer(None, OUTCOME_UNKNOWN if submission.in_doubt else not_sent))
                    expired += 1
        return expired

    def merge(self, other: "UserActor") -> None:
        """Take over what waits for another actor that turned out to be of the same user."""
        if self.put_back is None:
            self.put_back = deque()
        self.put_back.extend(other._drain())
        self.refs = (*self.refs, *other.refs)

    def take_back_clerk_ids(self) -> list[Submission]:
        """Take out, in order, what waits here because it names a Clerk id."""
        waiting = self._drain()
        self.put_back = deque(each for each in waiting if not each.names_clerk_id)
        return [each for each in waiting if each.names_clerk_id]

    def _first_deadline(self) -> float:
        """What was put back may be younger than what waits in the mailbox, and need not be in order
        (see `merge`).
        """
        waiting = [submission.deadline for submission in self.put_back or ()]
        if self.mailbox is not None and (deadline := self.mailbox.first_deadline()) is not None:
            waiting.append(deadline)
        return min(waiting, default=float("inf"))

    @staticmethod
    def _with_followers(
        submission: Submission, followers: dict[str, list[Submission]] | None
    ) -> tuple[Submission, ...]:
        return (submission, *(followers or {}).get(submission.operation.key, ()))

    def _drain(self) -> list[Submission]:
        waiting = list(self.put_back or ())
        self.put_back = None
        while self.mailbox is not None and not self.mailbox.empty():
            waiting.append(self.mailbox.get_nowait())
        return waiting

    def _follow(self, submission: Submission) -> None:
        if self.followers is None:
            self.followers = {}
        self.followers.setdefault(submission.operation.key, []).append(submission)

    def _put_back_first(self, submission: Submission) -> None:
        if self.put_back is None:
            self.put_back = deque()
        self.put_back.appendleft(submission)

    def _wait_for_originals(self, submission: Submission, unit: Unit[Submission]) -> None:
        """Ask for the entry that `submission` names, and with it for those that the ones behind it
        name: one query reads them all.
        """
        self._put_back_first(submission)
        behind = () if self.mailbox is None else self.mailbox.submissions()
        waiting = (each.operation for each in chain(self.put_back or (), behind) if not each.is_answered)
        missing = (unit.missing(operation) for operation in waiting if type(operation) not in PLAIN)
        self.missing_originals = set(islice((seq for seq in missing if seq is not None), ORIGINALS_PER_LOAD_MAX))

    def _answer_followers(self, unit: Unit[Submission], followers: dict[str, list[Submission]]) -> None:
        again: list[Submission] = []
        for _, decided in unit.decided:
            if isinstance(decided, Moved):
                continue
            for submission in followers.get(decided.key, ()):
                if isinstance(decided, Entry):
                    stored = Stored(decided.fingerprint, decided, None)
                elif decided.refusal.remembered:
                    stored = Stored(decided.fingerprint, None, decided.refusal)
                else:
                    again.append(submission)
                    continue
                submission.answer(replay(unit.user_id, submission, stored))
        if again:
            if self.put_back is None:
                self.put_back = deque()
            self.put_back.extendleft(reversed(again))


def _as_told(submission: Submission, error: LedgerError) -> LedgerError:
    """What a caller is told of `error`: nobody is told that what is in doubt was not applied."""
    return OUTCOME_UNKNOWN if submission.in_doubt and isinstance(error, Unavailable) else error


def replay(user_id: str, submission: Submission, stored: Stored) -> Answer:
    """The answer to an operation whose key has one already: the same again, or that the key was for
    another request.
    """
    operation = submission.operation
    assert not isinstance(operation, Keyless), "what has no key repeats none"
    if stored.fingerprint != fingerprint(operation):
        return Answer(
            None,
            IdempotencyKeyReused(
                "This idempotency key was used for another request of the same user. Use a new key for a new request."
            ),
        )
    if stored.entry is not None:
        return Answer(Receipt.of(user_id, stored.entry), None, replayed=True)
    return Answer(None, stored.refusal, replayed=True)


OUTCOME_UNKNOWN = Unavailable(
    "The database has not confirmed the operation in time, and it may have been applied. "
    "Send the same request again with the same idempotency key: it is applied once at most.",
    outcome="unknown",
)
NOT_REACHED = Unavailable(
    "The operation was not applied: the database could not be reached in time. "
    "Send the same request again with the same idempotency key.",
    outcome="not_applied",
)
BUSY = Busy(
    "The operation was not applied: something else has locked a row of this user in the database. "
    "Send the same request again with the same idempotency key.",
    outcome="not_applied",
)
