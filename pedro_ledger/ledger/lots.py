"""Where credits come from and go back to: drawing, giving back, and what a refund returns. Nothing
else touches lots.

Credits burn by priority (0 to 100, lower first), then by expiry (never is last), then by age. The
base, all credits without a lot, stands at priority 50 and never expires.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pedro_ledger.ledger.open_items import BASE, BASE_PRIORITY, Lot, Open, Shares
from pedro_ledger.ledger.operations import Closes


def draw(state: Open, base: int, credits: int) -> tuple[Shares, tuple[Lot, ...]]:
    """Take `credits` in burn order out of the base and the lots.

    Returns what came from where, and the lots after it.
    """
    shares: list[tuple[int, int]] = []
    lots: list[Lot] = []
    left = credits

    def take(seq: int, free: int) -> int:
        nonlocal left
        taken = min(left, free)
        if taken:
            shares.append((seq, taken))
            left -= taken
        return taken

    is_base_passed = False
    for each in state.lots:
        if not is_base_passed and each.priority > BASE_PRIORITY:
            take(BASE, base)
            is_base_passed = True
        taken = take(each.seq, each.free)
        lots.append(each._replace(free=each.free - taken) if taken else each)
    if not is_base_passed:
        take(BASE, base)
    assert left == 0, "only what is available is drawn"
    return tuple(shares), tuple(lots)


def split(shares: Shares, credits: int) -> tuple[Shares, Shares]:
    """The first `credits` of shares, in their order, and the rest."""
    taken: list[tuple[int, int]] = []
    rest: list[tuple[int, int]] = []
    for seq, size in shares:
        part = min(size, credits)
        credits -= part
        if part:
            taken.append((seq, part))
        if size - part:
            rest.append((seq, size - part))
    assert credits == 0, "no more is taken than there is"
    return tuple(taken), tuple(rest)


def give_back(lots: Sequence[Lot], shares: Shares) -> tuple[Lot, ...]:
    """Unpin shares of a hold.

    What goes back to a lot that has ended meanwhile is due at once (see `due`).
    """
    after = {lot.seq: lot for lot in lots}
    for seq, credits in shares:
        if seq != BASE:  # which needs no note: it is what no lot and no hold has
            after[seq] = after[seq]._replace(free=after[seq].free + credits)
    return tuple(after.values())


class Returned(NamedTuple):
    """Where a refund's credits go."""

    lots: tuple[Lot, ...]
    shares: Shares
    """What went to lots that run, and to the base, in this order."""
    own: int
    """Credits of lots that have ended: they make a lot of the refund's own."""
    own_priority: int


def return_credits(
    lots: Sequence[Lot], spent: Shares, refunded: int, credits: int, terms: Mapping[int, Lot], at_ms: int
) -> Returned:
    """Give back `credits` of what an entry spent and earlier refunds of it (`refunded`) left: what
    was drawn last comes first.

    `terms` are the lots of `spent` as their grants made them, for those that are used up and not
    open any more.
    """
    after = {lot.seq: lot for lot in lots}
    _, left = split(tuple(reversed(spent)), refunded)
    part, _ = split(left, credits)
    shares: list[tuple[int, int]] = []
    own, own_priority = 0, 100
    for seq, size in part:
        if seq == BASE:
            shares.append((BASE, size))
            continue
        lot = after.get(seq) or terms[seq]._replace(free=0)
        if lot.has_ended(at_ms):
            own, own_priority = own + size, min(own_priority, lot.priority)
        else:
            after[seq] = lot._replace(free=lot.free + size)
            shares.append((seq, size))
    return Returned(tuple(after.values()), tuple(shares), own, own_priority)


def rolled_over(lots: Sequence[Lot], lot: Lot, pinned: int) -> int:
    """Credits that a lot owes its successor at its end: a share of what is free and pinned, rounded
    down, within the cap.
    """
    rule = lot.rollover
    if rule is None:
        return 0
    due = (lot.free + pinned) * rule.percent // 100
    if rule.cap is not None:
        held_over = sum([each.free for each in lots if each.is_rollover and not each.is_closed and each.seq != lot.seq])
        due = min(due, max(0, rule.cap - held_over))
    return due


def renewed(
    lots: Sequence[Lot], own: int, closes: Closes, expires_ms: int, next_ends_ms: int | None
) -> tuple[Lot, ...]:
    """The lots once grant `own` renews the period that `closes` names.

    The lot of that period and what was rolled over into it end with the period at the latest, and
    what is left of them may roll over until `expires_ms`. What was left of a period that its
    schedule ended before ends with the new lot; `next_ends_ms` is when the period after that ends.
    """

    def after(lot: Lot) -> Lot:
        if lot.follows == -closes.seq:
            return lot._replace(follows=own, next_ms=next_ends_ms)
        if closes.seq not in {lot.seq, lot.follows}:
            return lot
        if lot.is_closed:  # of what holds still give back
            return lot._replace(next_seq=own, next_ms=next_ends_ms)
        ends_ms = closes.at_ms if lot.expires_ms is None else min(lot.expires_ms, closes.at_ms)
        return lot._replace(expires_ms=ends_ms, next_seq=own, next_ms=expires_ms)

    return tuple([after(lot) for lot in lots])
