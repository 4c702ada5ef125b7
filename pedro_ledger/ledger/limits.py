"""Spend limits of an account: which are in force, what they leave, how they say no.

What was spent is counted on meters in the account's open state, so it is as exact as the balance:
whoever decides, on whichever replica, decides on one revision of both. Held credits count while
their hold is open. An account without limits has no meters.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.errors import LimitNotFound, Refusal, SpendLimitExceeded, TooManyLimits
from pedro_ledger.ledger.meters import Counts, Limit, Meter, MeterQuery
from pedro_ledger.ledger.open_items import NOTHING, Open, or_none
from pedro_ledger.ledger.operations import DropLimit, SetLimit
from pedro_ledger.ledger.times import moment_text
from pedro_ledger.ledger.windows import span_at

LIMITS_MAX = 16
"""Limits that a user may have of its own."""
LimitBook = Mapping[str | None, Sequence[Limit]]
"""Limits of many users: of a plan by `Plan.id`, and those of all under None."""


class LimitUse(NamedTuple):
    """How a limit stands."""

    limit: Limit
    spent: int
    held: int
    resets_ms: int

    @property
    def left(self) -> int:
        """Credits that may still be spent or held; negative where the limit was lowered since."""
        return self.limit.credits - self.spent - self.held


class Room(NamedTuple):
    """What all limits together leave for one operation."""

    uses: Sequence[LimitUse]

    @property
    def left(self) -> int:
        """Credits, never negative."""
        return max(0, min(use.left for use in self.uses))

    def refuse(self, credits: int) -> SpendLimitExceeded | None:
        """Why `credits` do not pass, by the limit that resets last; None where they do."""
        passed = [use for use in self.uses if credits > max(0, use.left)]  # what asks for nothing passes
        if not passed:
            return None
        last = max(passed, key=lambda use: (use.resets_ms, -use.left))
        left, resets = max(0, last.left), moment_text(last.resets_ms)
        return SpendLimitExceeded(
            f"The spend limit {last.limit.id} leaves {left} credits until {resets}; the operation needs {credits}.",
            limitId=last.limit.id,
            limitScope=last.limit.scope,
            creditsRequired=credits,
            creditsLeft=left,
            resetsAt=resets,
        )


def in_force(account: Account, book: LimitBook) -> tuple[Limit, ...]:
    """Limits of the user, of its plan and of all."""
    own = () if account.open is None else account.open.limits
    if not book:
        return own
    of_plan = () if account.plan_id is None else book.get(account.plan_id, ())
    return (*own, *of_plan, *book.get(None, ()))


def is_limited(account: Account, book: LimitBook) -> bool:
    """Whether meters must be looked at before anything is decided; False for a plain account where
    nobody has set a limit.
    """
    return bool(book) or (account.open is not None and bool(account.open.limits or account.open.meters))


def unread(account: Account, book: LimitBook, read: Collection[Meter], now_ms: int) -> list[MeterQuery]:
    """Meters that limits need and nobody has: of limits that are new.

    `read` are those that were read already, as of this revision.
    """
    known = {meter.counts for meter in (*_meters(account), *read)}
    wanted = dict.fromkeys([limit.counts for limit in in_force(account, book)])
    return [
        MeterQuery(counts, *span_at(now_ms, counts.window, counts.zone)) for counts in wanted if counts not in known
    ]


def metered(account: Account, book: LimitBook, read: Collection[Meter], now_ms: int) -> Account:
    """The account with the meters that its limits need, each in the window of now; those that no
    limit needs go when their window is over.
    """
    wanted = {limit.counts for limit in in_force(account, book)}
    before = _meters(account)
    known = {meter.counts for meter in before}
    added = [meter for meter in read if meter.counts in wanted and meter.counts not in known]
    kept = [(meter, meter.at(now_ms)) for meter in (*before, *added)]
    after = tuple([now for was, now in kept if was.counts in wanted or was == now])
    if after == before:
        return account
    return account._replace(open=or_none((account.open or NOTHING)._replace(meters=after)))


def room(
    account: Account, limits: Sequence[Limit], operation_type: str | None, on_behalf_of: str | None
) -> Room | None:
    """What the limits leave for spending of this type for this member; None where none of them
    counts it.
    """
    found = [use for use in uses(account, limits) if use.limit.counts.match(operation_type, on_behalf_of)]
    return Room(found) if found else None


def uses(account: Account, limits: Sequence[Limit]) -> list[LimitUse]:
    """How limits stand; the account has their meters."""
    meters = {meter.counts: meter for meter in _meters(account)}
    return [
        LimitUse(limit, meter.spent, _held(account.open, limit.counts), meter.end_ms)
        for limit in limits
        for meter in [meters[limit.counts]]
    ]


def set_limit(account: Account, operation: SetLimit) -> Account | Refusal:
    """The account with a limit of its own, in place of one that has its id."""
    state = account.open or NOTHING
    others = tuple([each for each in state.limits if each.id != operation.limit.id])
    if len(others) >= LIMITS_MAX:
        return TooManyLimits(f"The user has {LIMITS_MAX} limits: delete some of them.", limitsMax=LIMITS_MAX)
    after = tuple(sorted((*others, operation.limit)))
    return account if after == state.limits else account._replace(open=state._replace(limits=after))


def drop_limit(account: Account, operation: DropLimit) -> Account | Refusal:
    """The account without a limit."""
    state = account.open or NOTHING
    others = tuple([each for each in state.limits if each.id != operation.limit_id])
    if len(others) == len(state.limits):
        return LimitNotFound(f"There is no limit {operation.limit_id}.", limitId=operation.limit_id)
    return account._replace(open=or_none(state._replace(limits=others)))


def _meters(account: Account) -> tuple[Meter, ...]:
    return () if account.open is None else account.open.meters


def _held(state: Open | None, counts: Counts) -> int:
    holds = () if state is None else state.holds
    return sum([hold.remaining for hold in holds if counts.match(hold.operation_type, hold.on_behalf_of)])
