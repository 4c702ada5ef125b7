"""The rules: what an operation does to an account.

Pure; time, prices and earlier entries are handed in.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from pedro_ledger.ledger.account import Account, Original
from pedro_ledger.ledger.change import SAME, SPENDING_KINDS, Change, append, said, shares_effect
from pedro_ledger.ledger.due import rule_effect
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.errors import (
    EntryNotFound,
    EntryNotRefundable,
    GrantAlreadyExpired,
    GrantEndsTooLate,
    NoPrice,
    RefundExceedsEntry,
    Refusal,
    TooManyOpenGrants,
)
from pedro_ledger.ledger.holds import capture, extend, find, insufficient, make_hold, void
from pedro_ledger.ledger.ids import entry_time_ms
from pedro_ledger.ledger.limits import LimitBook, Room, in_force, room
from pedro_ledger.ledger.lots import draw, renewed, return_credits
from pedro_ledger.ledger.meters import Limit
from pedro_ledger.ledger.open_items import BASE_PRIORITY, LOTS_MAX, NOTHING, Lot, Open, opened
from pedro_ledger.ledger.operations import (
    DEFAULT_PRIORITIES,
    Adjustment,
    Capture,
    Deduct,
    Extend,
    Grant,
    Hold,
    Opening,
    Operation,
    Recovery,
    Refund,
    Void,
)
from pedro_ledger.ledger.prices import PriceBook, PricedTokens
from pedro_ledger.ledger.times import moment_text

REFUND_GRACE_MS = 3 * 86_400_000
GRANT_LENGTH_MAX_MS = 10 * 366 * 86_400_000
REFUNDABLE_KINDS = SPENDING_KINDS


class Facts(NamedTuple):
    """What a decision may look at beside the account: prices, and the entries that operations
    name.
    """

    prices: PriceBook = PriceBook()
    originals: Mapping[int, Original | None] = {}
    refund_grace_ms: int = REFUND_GRACE_MS
    """How long refunded credits of a lot that has ended can be used."""
    limits: LimitBook = MappingProxyType({})
    """Spend limits of plans and of all users; a user's own are on the account."""
    over_max: int | None = None
    """What spend limits leave for overage that is capped."""
    hold_max: int | None = None
    """What they leave for a hold that may be smaller than it asks for."""


Decision = tuple[Account, Entry] | Refusal


def decide(account: Account, operation: Operation, now_ms: int, facts: Facts) -> Decision:
    """The account after `operation` with the entry that says so, or why not. `now_ms` is
    milliseconds since 1970.

    Nothing on the account may be due at that moment (see `due`): `Unit.add` books that first.
    """
    if account.open is not None and (limits := in_force(account, facts.limits)):
        change = _within_limits(account, operation, facts, now_ms, limits)
    else:
        change = _RULES[type(operation)](account, operation, facts, now_ms)
    if isinstance(change, Refusal):
        return change
    return append(account, operation, change, now_ms)


def _within_limits(
    account: Account, operation: Operation, facts: Facts, now_ms: int, limits: Sequence[Limit]
) -> Change | Refusal:
    """What an operation does, as far as spend limits let it.

    What is asked for from a least amount on, or capped, becomes less; all else is refused.
    """
    left = _room(account, operation, facts, limits)
    if left is not None and isinstance(operation, Hold) and operation.credits_min is not None:
        facts = facts._replace(hold_max=left.left)
    elif left is not None and isinstance(operation, Capture) and operation.overage == "cap":
        facts = facts._replace(over_max=left.left)
    change = _RULES[type(operation)](account, operation, facts, now_ms)
    if isinstance(change, Refusal) or left is None:
        return change
    over = (change.effects or {}).get("over", 0)
    spends = {"deduct": -change.credits, "hold": change.held, "extend": change.held}.get(change.kind, over)
    return left.refuse(spends) or change


def _room(account: Account, operation: Operation, facts: Facts, limits: Sequence[Limit]) -> Room | None:
    if isinstance(operation, Deduct | Hold):
        return room(account, limits, operation.operation_type, operation.on_behalf_of)
    if not isinstance(operation, Capture | Extend):
        return None
    hold = find(account, operation)
    if hold is None and (original := facts.originals.get(operation.hold_seq)) is not None:
        hold = original.hold
    return None if hold is None else room(account, limits, hold.operation_type, hold.on_behalf_of)


def _deduct(account: Account, operation: Deduct, facts: Facts, now_ms: int) -> Change | Refusal:
    credits, provenance = operation.credits, None
    if credits is None and operation.tokens is not None:
        priced = _priced(account, facts, operation.operation_type, operation.model)
        if isinstance(priced, Refusal):
            return priced
        credits, provenance = priced.price.part(0, priced.price.micro(operation.tokens)), priced.provenance
    elif credits is None:
        price = facts.prices.find(account.plan_id, operation.operation_type)
        if price is None:
            return NoPrice(
                f"No price is set for {operation.operation_type}: send credits, or set it in AdminSettings.featureCosts.",
                operationType=operation.operation_type,
            )
        credits, provenance = price
    if credits > account.available:
        return insufficient(account, credits)
    change = Change("deduct", -credits, operation.operation_type, price=provenance)
    if account.open is not None:
        change = _drawn(account, account.open, change)
    if operation.on_behalf_of is not None or operation.tokens is not None:
        more = said(onBehalfOf=operation.on_behalf_of, model=operation.model, tokens=operation.tokens)
        change = change._replace(effects={**(change.effects or {}), **more})
    return change


def _priced(account: Account, facts: Facts, operation_type: str, model: str | None) -> PricedTokens | Refusal:
    """What tokens cost the user."""
    priced = facts.prices.find_tokens(account.plan_id, operation_type, model)
    if priced is not None:
        return priced
    return NoPrice(
        f"No token price is set for {operation_type} and {model or 'any model'}: send credits, or set it in "
        "AdminSettings.featureCosts.tokenPrices.",
        operationType=operation_type,
        model=model,
    )


def _drawn(account: Account, state: Open, change: Change) -> Change:
    """A change that takes credits, with the lots that they are drawn from."""
    shares, lots = draw(state, account.base, -change.credits)
    drawn = shares_effect(shares, -1)
    return change._replace(
        effects=None if drawn is None else {"lots": drawn}, open=opened(lots, state.holds) if drawn else SAME
    )


def _refund(account: Account, operation: Refund, facts: Facts, now_ms: int) -> Change | Refusal:
    if operation.entry_seq is None:
        assert operation.credits is not None, "a refund without an entry names its credits"
        return Change("refund", operation.credits, operation.operation_type)
    original = facts.originals.get(operation.entry_seq)
    if original is None or original.entry_id != operation.entry_id:
        return EntryNotFound(f"The user has no entry {operation.entry_id}.", entryId=operation.entry_id)
    if original.kind not in REFUNDABLE_KINDS:
        return EntryNotRefundable(
            f"Entry {operation.entry_id} is a {original.kind}; only a deduct can be refunded.",
            entryId=operation.entry_id,
            type=original.kind,
        )
    left = original.refundable
    credits = left if operation.credits is None else operation.credits
    if credits > left or (left == 0 and original.credits_used > 0):
        return RefundExceedsEntry(
            f"Entry {operation.entry_id} used {original.credits_used} credits, of which {left} are left to refund.",
            entryId=operation.entry_id,
            creditsUsed=original.credits_used,
            creditsRefundable=left,
        )
    change = Change("refund", credits, original.operation_type, related_seq=original.seq)
    if account.open is not None and account.open.meters:
        change = change._replace(given_back=(entry_time_ms(original.entry_id), original.on_behalf_of))
    return change if original.spent is None else _returned(account, original, change, facts.refund_grace_ms, now_ms)


def _returned(account: Account, original: Original, change: Change, grace_ms: int, now_ms: int) -> Change:
    """A refund of what came from lots: each share goes back to where it came from, while that still
    runs.
    """
    state = account.open or NOTHING
    assert original.spent is not None, "the entry drew from lots"
    back = return_credits(state.lots, original.spent, original.credits_refunded, change.credits, original.terms, now_ms)
    lots, shares, expires_at_ms = back.lots, back.shares, None
    if back.own:
        own, expires_at_ms = account.seq + 1, now_ms + grace_ms
        lots = (*lots, Lot(own, back.own_priority, expires_at_ms, back.own, back.own))
        shares = (*shares, (own, back.own))
    shown = shares_effect(shares)
    return change._replace(
        expires_at_ms=expires_at_ms,
        priority=back.own_priority if back.own and back.own_priority != BASE_PRIORITY else None,
        effects=None if shown is None else {"lots": shown},
        open=opened(lots, state.holds),
    )


def _grant(account: Account, operation: Grant, facts: Facts, now_ms: int) -> Change | Refusal:
    priority = DEFAULT_PRIORITIES.get(operation.source) if operation.priority is None else operation.priority
    expires_at_ms = operation.expires_at_ms
    if operation.expires_in_s is not None:
        expires_at_ms = now_ms + operation.expires_in_s * 1000
    if priority == BASE_PRIORITY:
        priority = None
    change = Change("grant", operation.credits, source=operation.source)
    if expires_at_ms is None and priority is None:
        return change
    refusal = _refuse_end(expires_at_ms, now_ms)
    if refusal is not None:
        return refusal
    state = account.open or NOTHING
    lots = state.lots
    effects: dict[str, object] = {}
    if operation.closes is not None:
        assert expires_at_ms is not None, "a period has an end"
        lots = renewed(lots, account.seq + 1, operation.closes, expires_at_ms, operation.next_ends_ms)
        if lots != state.lots:
            effects["until"] = list(operation.closes)
    if sum([not lot.has_ended(now_ms) for lot in lots]) >= LOTS_MAX:
        return TooManyOpenGrants(
            f"The user has {LOTS_MAX} open grants that end or have a priority: grant without, or wait for one to end.",
            grantsMax=LOTS_MAX,
        )
    lot = Lot(
        account.seq + 1, BASE_PRIORITY if priority is None else priority, expires_at_ms, operation.credits,
        operation.credits, operation.rollover, next_ms=operation.next_ends_ms,
    )  # fmt: skip
    if operation.rollover is not None:
        effects["rollover"] = rule_effect(operation.rollover)
    if operation.next_ends_ms is not None:
        effects["next"] = operation.next_ends_ms
    return change._replace(
        expires_at_ms=expires_at_ms,
        priority=priority,
        effects=effects or None,
        open=opened((*lots, lot), state.holds),
    )


def _refuse_end(expires_at_ms: int | None, now_ms: int) -> Refusal | None:
    if expires_at_ms is None:
        return None
    if expires_at_ms <= now_ms:
        return GrantAlreadyExpired(
            f"expiresAt is {moment_text(expires_at_ms)}, which is not later than now.", field="expiresAt"
        )
    if expires_at_ms > now_ms + GRANT_LENGTH_MAX_MS:
        return GrantEndsTooLate(
            f"expiresAt is {moment_text(expires_at_ms)}: at most ten years from now.", field="expiresAt"
        )
    return None


def _opening(account: Account, operation: Opening, facts: Facts, now_ms: int) -> Change:
    assert account.seq == 0, "only the first entry opens an account"
    return Change("opening", operation.credits)


def _adjustment(account: Account, operation: Adjustment, facts: Facts, now_ms: int) -> Change | Refusal:
    if -operation.credits > account.available:
        return insufficient(account, -operation.credits)
    change = Change("adjustment", operation.credits, source=operation.source)
    return change if account.open is None or operation.credits >= 0 else _drawn(account, account.open, change)


def _recovery(account: Account, operation: Recovery, facts: Facts, now_ms: int) -> Change:
    if operation.grant_seq is not None:
        return _recovered(account, operation, operation.grant_seq)
    change = Change("adjustment", -min(operation.credits, account.available), source=operation.source)
    return change if account.open is None else _drawn(account, account.open, change)


def _recovered(account: Account, operation: Recovery, grant_seq: int) -> Change:
    """What is free in a grant's lot goes back, and nothing else."""
    state = account.open or NOTHING
    lot = state.lot(grant_seq)
    change = Change("adjustment", 0, source=operation.source, related_seq=grant_seq)
    if lot is None or not (credits := min(operation.credits, lot.free)):
        return change
    lots = [each._replace(free=each.free - credits) if each is lot else each for each in state.lots]
    return change._replace(
        credits=-credits,
        effects={"lots": shares_effect(((grant_seq, credits),), -1)},
        open=opened(lots, state.holds),
    )


def _hold(account: Account, operation: Hold, facts: Facts, now_ms: int) -> Change | Refusal:
    provenance = None
    if operation.tokens is not None and not operation.credits:
        priced = _priced(account, facts, operation.operation_type, operation.model)
        if isinstance(priced, Refusal):
            return priced
        credits = max(1, priced.price.part(0, priced.price.micro(operation.tokens)))
        operation, provenance = operation._replace(credits=credits), priced.provenance
    if facts.hold_max is not None and operation.credits_min is not None:
        credits = max(operation.credits_min, min(operation.credits, facts.hold_max))
        operation = operation._replace(credits=credits)
    change = make_hold(account, operation, now_ms)
    return change if provenance is None or isinstance(change, Refusal) else change._replace(price=provenance)


def _capture(account: Account, operation: Capture, facts: Facts, now_ms: int) -> Change | Refusal:
    original = facts.originals.get(operation.hold_seq)
    hold = find(account, operation) or (None if original is None else original.hold)
    if operation.tokens is None or operation.micro is not None or hold is None:
        return capture(account, operation, original, now_ms, facts.over_max)
    model = operation.model or hold.model
    priced = _priced(account, facts, hold.operation_type, model)
    if isinstance(priced, Refusal):
        return priced
    micro = priced.price.micro(operation.tokens)
    asked = operation._replace(credits=priced.price.part(hold.micro, micro), model=model, micro=micro)
    change = capture(account, asked, original, now_ms, facts.over_max)
    return change if isinstance(change, Refusal) else change._replace(price=priced.provenance)


def _extend(account: Account, operation: Extend, facts: Facts, now_ms: int) -> Change | Refusal:
    return extend(account, operation, facts.originals.get(operation.hold_seq), now_ms)


def _void(account: Account, operation: Void, facts: Facts, now_ms: int) -> Change | Refusal:
    return void(account, operation, facts.originals.get(operation.hold_seq), now_ms)


_RULES: Mapping[type, Callable[[Account, Any, Facts, int], Change | Refusal]] = {
    Deduct: _deduct,
    Refund: _refund,
    Grant: _grant,
    Opening: _opening,
    Adjustment: _adjustment,
    Recovery: _recovery,
    Hold: _hold,
    Capture: _capture,
    Extend: _extend,
    Void: _void,
}
