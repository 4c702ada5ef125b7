"""What holds do: make, capture, extend, void, heartbeat.

Held credits are pinned to the lots that they came from.
"""

from typing import Any, NamedTuple

from pedro_ledger.ledger.account import Account, Original
from pedro_ledger.ledger.change import Change, said, shares_effect
from pedro_ledger.ledger.errors import (
    CaptureExceedsHold,
    HoldClosed,
    HoldLapsed,
    HoldNotFound,
    HoldReferenceInUse,
    InsufficientCredits,
    Refusal,
    TooManyOpenHolds,
)
from pedro_ledger.ledger.ids import entry_id
from pedro_ledger.ledger.lots import draw, give_back, split
from pedro_ledger.ledger.open_items import HOLDS_MAX, NOTHING, Open, OpenHold, Shares, opened, total, with_limits_of
from pedro_ledger.ledger.operations import (
    HOLD_LENGTH_MAX_S,
    LATE_CAPTURE_MS,
    Capture,
    Extend,
    Heartbeat,
    Hold,
    Void,
)
from pedro_ledger.ledger.times import moment_text
from pedro_ledger.ledger.tokens import MICRO_MAX


def insufficient(account: Account, credits: int) -> InsufficientCredits:
    """Want of credits."""
    return InsufficientCredits(
        f"The operation needs {credits} credits; {account.available} are available.",
        creditsRequired=credits,
        creditsAvailable=account.available,
    )


def make_hold(account: Account, operation: Hold, now_ms: int) -> Change | Refusal:
    """Pin credits in burn order."""
    state = account.open or NOTHING
    if len(state.holds) >= HOLDS_MAX:
        return TooManyOpenHolds(
            f"The user has {HOLDS_MAX} open holds: capture or void some of them.", holdsMax=HOLDS_MAX
        )
    if operation.reference is not None:
        for each in state.holds:
            if each.reference == operation.reference:
                return HoldReferenceInUse(
                    f"The open hold {hold_id(account, each)} has the reference {operation.reference}.",
                    holdId=hold_id(account, each),
                )
    credits = operation.credits
    if operation.credits_min is not None:
        credits = max(operation.credits_min, min(credits, account.available))
    if credits > account.available:
        return insufficient(account, credits)
    shares, lots = draw(state, account.base, credits)
    end_ms = now_ms + operation.expires_in_s * 1000
    lease_ms = None if operation.lease_s is None else operation.lease_s * 1000
    hold = OpenHold(
        account.seq + 1, now_ms, operation.operation_type, shares, credits, 0, end_ms, lease_ms,
        None if lease_ms is None else now_ms + lease_ms, 0, operation.on_lapse, operation.reference, 0, operation.model,
        operation.on_behalf_of,
    )  # fmt: skip
    terms = said(
        lease=operation.lease_s,
        onLapse=None if operation.on_lapse == "release" else operation.on_lapse,
        reference=operation.reference,
    )
    return Change(
        "hold",
        0,
        operation.operation_type,
        held=credits,
        expires_at_ms=end_ms,
        effects=said(
            pins=shares_effect(shares),
            held=credits,
            terms=terms or None,
            onBehalfOf=operation.on_behalf_of,
            model=operation.model,
            tokens=operation.tokens,
        ),
        open=opened(lots, (*state.holds, hold)),
    )


def capture(
    account: Account, operation: Capture, original: Original | None, now_ms: int, over_max: int | None = None
) -> Change | Refusal:
    """Charge a hold: what it pins first, then what overage lets through.

    `over_max` is what spend limits leave for overage that is capped.
    """
    hold = find(account, operation)
    if hold is None:
        return _capture_late(account, operation, original, now_ms, over_max)
    assert account.open is not None, "an open hold is open state"
    within = min(operation.credits, hold.remaining)
    over = operation.credits - within
    if over and operation.overage == "refuse":
        return CaptureExceedsHold(
            f"The hold has {hold.remaining} credits left, the capture asks for {operation.credits}: extend it, "
            "or send overage allow or cap.",
            creditsHeld=hold.remaining,
            creditsAvailable=account.available,
        )
    paid = _overage(account, operation, over, over_max)
    if isinstance(paid, Refusal):
        return paid
    spent, left = split(hold.shares, within)
    drawn, lots = draw(account.open, account.base, paid.over)
    back: Shares = ()
    holds = _without(account.open, hold)
    if operation.final:
        back = left
        lots = give_back(lots, back)
    else:
        captured = hold.captured + within + paid.over
        micro = min(hold.micro + (operation.micro or 0), MICRO_MAX)
        holds = _with(account.open, beaten(hold, now_ms)._replace(shares=left, captured=captured, micro=micro))
    return _closing(
        account, operation, hold, (*spent, *drawn), back, opened(lots, holds),
        final=operation.final, paid=paid, left=0 if operation.final else total(left),
    )  # fmt: skip


class Overage(NamedTuple):
    """What of the excess of a capture is taken, and what cannot be."""

    over: int
    uncollected: int = 0
    limited: bool = False
    """Whether a spend limit, and not want of credits, is why."""


def _overage(account: Account, operation: Capture, wanted: int, over_max: int | None) -> Overage | Refusal:
    if operation.overage == "allow" and wanted > account.available:
        return insufficient(account, wanted)
    most = account.available if over_max is None else min(account.available, over_max)
    over = min(wanted, most)
    return Overage(over, wanted - over, over < wanted and most < account.available)


def _closing(
    account: Account,
    operation: Capture,
    hold: OpenHold,
    spent: Shares,
    back: Shares,
    state: Open | None,
    *,
    final: bool,
    paid: Overage,
    left: int,
) -> Change:
    """The entry of a capture; a final one that charges nothing is a void."""
    charged = total(spent)
    held = -(charged - paid.over + total(back))
    effects = said(
        hold=hold_id(account, hold), lots=shares_effect(spent, -1), back=shares_effect(back), held=held, final=final,
        over=paid.over, uncollected=paid.uncollected, limited=paid.limited, left=left, onBehalfOf=hold.on_behalf_of,
        model=operation.model, tokens=operation.tokens, micro=operation.micro,
    )  # fmt: skip
    kind = "void" if final and not charged else "capture"
    return Change(kind, -charged, hold.operation_type, hold.seq, held=held, effects=effects, open=state)


def _capture_late(
    account: Account, operation: Capture, original: Original | None, now_ms: int, over_max: int | None
) -> Change | Refusal:
    """Work that outlived its lease is still billed, once, out of what is available."""
    closed = _closed(operation, original, now_ms)
    if isinstance(closed, Refusal):
        return closed
    made, closing = closed.hold, closed.closing
    assert made is not None, "a hold was loaded as it was made"
    assert closing is not None, "a closed hold was loaded with how it ended"
    is_in_time = now_ms - closing.at_ms < LATE_CAPTURE_MS
    if not closing.has_lapsed or operation.overage == "refuse" or not is_in_time or closing.is_captured_late:
        return _refused(closed, closing)
    paid = _overage(account, operation, max(0, operation.credits - closing.lapse_captured), over_max)
    if isinstance(paid, Refusal):
        return paid
    state = account.open or NOTHING
    drawn, lots = draw(state, account.base, paid.over)
    return _closing(
        account, operation, made, drawn, (), opened(lots, state.holds),
        final=True, paid=paid, left=0,
    )  # fmt: skip


def extend(account: Account, operation: Extend, original: Original | None, now_ms: int) -> Change | Refusal:
    """Pin more, or let the hold last longer."""
    hold = find(account, operation)
    if hold is None:
        return _not_open(operation, original, now_ms)
    assert account.open is not None, "an open hold is open state"
    if operation.credits > account.available:
        return insufficient(account, operation.credits)
    pins, lots = draw(account.open, account.base, operation.credits)
    end_ms = hold.end_ms
    if operation.expires_in_s is not None:
        end_ms = min(now_ms + operation.expires_in_s * 1000, hold.at_ms + HOLD_LENGTH_MAX_S * 1000)
    longer = beaten(hold, now_ms)._replace(
        shares=(*hold.shares, *pins), reserved=hold.reserved + operation.credits, end_ms=end_ms
    )
    effects = said(hold=hold_id(account, hold), pins=shares_effect(pins), held=operation.credits)
    return Change(
        "extend", 0, hold.operation_type, hold.seq, held=operation.credits, expires_at_ms=end_ms, effects=effects,
        open=opened(lots, _with(account.open, longer)),
    )  # fmt: skip


def void(account: Account, operation: Void, original: Original | None, now_ms: int) -> Change | Refusal:
    """Give everything back."""
    hold = find(account, operation)
    if hold is None:
        return _not_open(operation, original, now_ms)
    assert account.open is not None, "an open hold is open state"
    lots = give_back(account.open.lots, hold.shares)
    effects = said(hold=hold_id(account, hold), back=shares_effect(hold.shares), held=-hold.remaining)
    return Change(
        "void", 0, hold.operation_type, hold.seq, held=-hold.remaining, effects=effects,
        open=opened(lots, _without(account.open, hold)),
    )  # fmt: skip


def heartbeat(account: Account, operation: Heartbeat, original: Original | None, now_ms: int) -> Account | Refusal:
    """The account after a heartbeat: the lease moves, never past the hard end, and `used` grows."""
    hold = find(account, operation)
    if hold is None:
        return _not_open(operation, original, now_ms)
    assert account.open is not None, "an open hold is open state"
    alive = beaten(hold, now_ms)._replace(used=max(hold.used, operation.used or 0))
    state = opened(account.open.lots, _with(account.open, alive))
    return account._replace(open=with_limits_of(account.open, state))


def beaten(hold: OpenHold, now_ms: int) -> OpenHold:
    """A hold of which was just heard; time never runs backwards for it."""
    if hold.lease_ms is None or hold.lease_until_ms is None:
        return hold
    return hold._replace(lease_until_ms=max(hold.lease_until_ms, now_ms + hold.lease_ms))


def find(account: Account, operation: Capture | Extend | Void | Heartbeat) -> OpenHold | None:
    """The open hold that an operation names."""
    hold = None if account.open is None else account.open.hold(operation.hold_seq)
    return hold if hold is not None and hold_id(account, hold) == operation.hold_id else None


def hold_id(account: Account, hold: OpenHold) -> str:
    """The id of a hold is that of its entry."""
    return entry_id(hold.at_ms, account.tag, hold.seq)


def _with(state: Open, hold: OpenHold) -> tuple[OpenHold, ...]:
    return tuple([hold if each.seq == hold.seq else each for each in state.holds])


def _without(state: Open, hold: OpenHold) -> tuple[OpenHold, ...]:
    return tuple([each for each in state.holds if each.seq != hold.seq])


def _closed(operation: Any, original: Original | None, now_ms: int) -> Original | Refusal:
    if original is None or original.entry_id != operation.hold_id or original.kind != "hold":
        return HoldNotFound(f"There is no hold {operation.hold_id}.", holdId=operation.hold_id)
    assert original.closing is not None, "a hold that is not open was closed"
    return original


def _not_open(operation: Any, original: Original | None, now_ms: int) -> Refusal:
    closed = _closed(operation, original, now_ms)
    if isinstance(closed, Refusal):
        return closed
    assert closed.closing is not None
    return _refused(closed, closed.closing)


def _refused(original: Original, closing: Any) -> Refusal:
    if closing.has_lapsed and not closing.is_captured_late:
        held = 0 if original.hold is None else original.hold.reserved
        return HoldLapsed(
            f"The hold lapsed at {moment_text(closing.at_ms)}: send overage allow or cap within 24 hours to charge it "
            "from what is available.",
            holdId=original.entry_id,
            lapsedAt=moment_text(closing.at_ms),
            creditsReleased=held - original.credits_used,
            creditsCaptured=original.credits_used,
        )
    state = "voided" if closing.kind == "void" else "captured"
    return HoldClosed(
        f"The hold is {state} since {moment_text(closing.at_ms)}.",
        holdId=original.entry_id,
        state=state,
        creditsCaptured=original.credits_used,
        closedAt=moment_text(closing.at_ms),
        closedBy=closing.entry_id,
    )
