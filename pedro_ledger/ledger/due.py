"""What is booked because its moment has come: lots that end, what of them rolls over, holds that
lapse.

Nothing is decided with a lot or hold on the books whose moment has come. Late booking changes the
time of the entries and nothing else: each is booked as of its own moment, in the order of (moment,
seq), and what it makes may be due too.
"""

from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.change import Change, append, said, shares_effect
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.errors import Refusal
from pedro_ledger.ledger.holds import hold_id
from pedro_ledger.ledger.lots import give_back, rolled_over, split
from pedro_ledger.ledger.open_items import BASE_PRIORITY, Lot, Open, OpenHold, Rollover, Shares, opened, total
from pedro_ledger.ledger.operations import EXPIRY_KEY, LAPSE_KEY, ROLLOVER_KEY, Booking

SWEEPER = "sweeper"
"""Who made these entries."""


def book_due(account: Account, now_ms: int) -> tuple[Account, list[Entry]]:
    """The account with everything booked that is due at `now_ms` (milliseconds since 1970), and the
    entries that say so.
    """
    booked: list[Entry] = []
    while account.open is not None and account.open.due_ms <= now_ms:
        made = _book_first(account, account.open, now_ms)
        if isinstance(made, Refusal):  # the account can take no entry at all
            return account, booked
        account, entries = made
        booked += entries
    return account, booked


def as_of(account: Account, now_ms: int) -> tuple[Account, int]:
    """The account as if everything due were booked, and how many entries that would take.

    Writes nothing.
    """
    after, booked = book_due(account, now_ms)
    return after, len(booked)


def _book_first(account: Account, state: Open, now_ms: int) -> tuple[Account, list[Entry]] | Refusal:
    lot = min(state.lots, key=lambda each: (each.due_ms, each.seq), default=None)
    hold = min(state.holds, key=lambda each: (each.due_ms, each.seq), default=None)
    if hold is None or (lot is not None and (lot.due_ms, lot.seq) < (hold.due_ms, hold.seq)):
        assert lot is not None, "something is due"
        return end_lot(account, state, lot, now_ms)
    return lapse(account, state, hold, now_ms)


def end_lot(account: Account, state: Open, lot: Lot, now_ms: int) -> tuple[Account, list[Entry]] | Refusal:
    """End a lot, or what came back to it after its end: its free credits expire, and a share of
    them rolls over.

    What rolls over into the next period does so only where one is known of.
    """
    moment_ms = lot.expires_ms
    assert moment_ms is not None, "a lot that never expires never ends"
    pinned = sum([credits for hold in state.holds for seq, credits in hold.shares if seq == lot.seq])
    if lot.is_closed:
        cause, due, carry_expires_ms = f":{account.seq}", min(lot.carry, lot.free), lot.carry_expires_ms
        carry = lot.carry - due
    else:
        cause, carry_expires_ms = "", _successor_expires(lot.rollover, moment_ms, lot.next_ms)
        owed = 0 if carry_expires_ms is None else rolled_over(state.lots, lot, pinned)
        due = min(owed, lot.free)
        carry = min(owed - due, pinned)
    others = [each for each in state.lots if each.seq != lot.seq]
    if pinned:
        others.append(lot._replace(free=0, is_closed=True, carry=carry, carry_expires_ms=carry_expires_ms))
    expiry = Change(
        "expiry", -lot.free, related_seq=lot.seq, expires_at_ms=moment_ms, open=opened(others, state.holds),
        effects=said(lots=shares_effect(((lot.seq, lot.free),), -1) if lot.free else None, carry=carry),
    )  # fmt: skip
    made = append(account, Booking(f"{EXPIRY_KEY}{lot.seq}{cause}", SWEEPER), expiry, now_ms)
    if isinstance(made, Refusal) or not due:
        return made if isinstance(made, Refusal) else (made[0], [made[1]])
    account, ended = made
    assert lot.rollover is not None, "only what has a rule rolls over"
    assert carry_expires_ms is not None, "what rolls over has an end"
    rule = lot.rollover._replace(times=lot.rollover.times - 1) if lot.rollover.times > 1 else None
    heir = Lot(account.seq + 1, lot.priority, carry_expires_ms, due, due, rule, is_rollover=True)
    if lot.rollover.expires_in_ms is None:
        next_ms = lot.next_ms if lot.is_closed and lot.next_seq else None
        heir = heir._replace(follows=lot.next_seq or -(lot.follows or lot.seq), next_ms=next_ms)
    grant = Change(
        "grant", due, related_seq=lot.seq, source="rollover", expires_at_ms=carry_expires_ms,
        priority=None if lot.priority == BASE_PRIORITY else lot.priority,
        effects=None if rule is None else said(rollover=rule_effect(rule)),
        open=opened((*others, heir), state.holds),
    )  # fmt: skip
    rolled = append(account, Booking(f"{ROLLOVER_KEY}{lot.seq}{cause}", SWEEPER), grant, now_ms)
    if isinstance(rolled, Refusal):
        return rolled
    return rolled[0], [ended, rolled[1]]


def rule_effect(rule: Rollover) -> dict[str, object]:
    """A rollover rule as effects and answers show it; times in seconds."""
    after = "nextPeriod" if rule.expires_in_ms is None else rule.expires_in_ms // 1000
    return said(percent=rule.percent, cap=rule.cap, times=rule.times, expiresIn=after)


def _successor_expires(rule: Rollover | None, moment_ms: int, next_expires_ms: int | None) -> int | None:
    if rule is None:
        return None
    return next_expires_ms if rule.expires_in_ms is None else moment_ms + rule.expires_in_ms


def lapse(account: Account, state: Open, hold: OpenHold, now_ms: int) -> tuple[Account, list[Entry]] | Refusal:
    """End a hold whose end or lease has passed, as it was told to."""
    remaining = hold.remaining
    captured = {"release": 0, "capture_used": min(hold.used, remaining), "capture_all": remaining}[hold.on_lapse]
    spent, back = split(hold.shares, captured)
    others = tuple([each for each in state.holds if each.seq != hold.seq])
    change = Change(
        "capture" if captured else "expiry", -captured, hold.operation_type, hold.seq, held=-remaining,
        expires_at_ms=hold.due_ms, effects=_lapse_effects(account, hold, spent, back),
        open=opened(give_back(state.lots, back), others),
    )  # fmt: skip
    made = append(account, Booking(f"{LAPSE_KEY}{hold.seq}", SWEEPER), change, now_ms)
    return made if isinstance(made, Refusal) else (made[0], [made[1]])


def _lapse_effects(account: Account, hold: OpenHold, spent: Shares, back: Shares) -> dict[str, object]:
    return said(
        hold=hold_id(account, hold), lots=shares_effect(spent, -1), back=shares_effect(back),
        held=-total(hold.shares), final=bool(spent), onBehalfOf=hold.on_behalf_of,
    )  # fmt: skip
