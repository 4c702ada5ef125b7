"""What is open on an account: lots that credits are drawn from, and holds that pin some of them.

A plain account has none of it: its `Account.open` is None, and nothing here is ever called for it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pedro_ledger.ledger.meters import Limit, Meter

BASE = 0
"""The number of the base in shares: credits that never expire and have the default priority."""
BASE_PRIORITY = 50
NEVER = 2**63 - 1
"""Later than every moment, in milliseconds."""
LOTS_MAX = 64
HOLDS_MAX = 128

OnLapse = Literal["release", "capture_used", "capture_all"]
Shares = tuple[tuple[int, int], ...]
"""Pairs of a lot (its seq, or `BASE`) and credits, in the order in which they were drawn."""


class Rollover(NamedTuple):
    """What becomes of credits that are left when their lot ends."""

    percent: int
    """1 to 100; of what is left, rounded down."""
    cap: int | None
    """Credits that all lots which were rolled over may hold together; None: no such limit."""
    times: int
    """How often what is left may still roll over, 1 to 12."""
    expires_in_ms: int | None
    """How long the new lot lasts; None: until the next period's lot ends."""


class Lot(NamedTuple):
    """What is left of one grant that expires or has a priority of its own.

    `free` is neither spent nor pinned.
    """

    seq: int
    """Of the entry that made it."""
    priority: int
    """0 to 100; lower burns first."""
    expires_ms: int | None
    """Milliseconds since 1970; from then on its credits cannot be spent."""
    granted: int
    free: int
    rollover: Rollover | None = None
    is_rollover: bool = False
    """Whether it is itself what was left of another lot."""
    is_closed: bool = False
    """Its end is booked; it stays because holds pin credits of it."""
    carry: int = 0
    """Credits that roll over once a hold gives them back."""
    carry_expires_ms: int | None = None
    follows: int = 0
    """Seq of the period's lot that it ends with; negative: of the lot that it was left of, until
    the next period's is granted. 0: it ends with none.
    """
    next_seq: int = 0
    """The grant of the period after it; 0 until there is one."""
    next_ms: int | None = None
    """When the lot of the period after it ends; None while nobody knows of such a period."""

    @property
    def burn_order(self) -> tuple[int, int, bool, int]:
        """Ascending is first: priority, then expiry, then what was rolled over, then age."""
        ends_ms = NEVER if self.expires_ms is None else self.expires_ms
        return self.priority, ends_ms, not self.is_rollover, self.seq

    def has_ended(self, at_ms: int) -> bool:
        """Whether its credits cannot be spent any more."""
        return self.is_closed or (self.expires_ms is not None and self.expires_ms <= at_ms)

    @property
    def due_ms(self) -> int:
        """When something must be booked for it."""
        waits = self.free > 0 or (self.rollover is not None and not self.is_closed)
        return self.expires_ms if waits and self.expires_ms is not None else NEVER


class OpenHold(NamedTuple):
    """Credits set aside for work that is under way. `end_ms` is its hard end."""

    seq: int
    at_ms: int
    operation_type: str
    shares: Shares
    """What it still pins, and where that came from."""
    reserved: int
    """All that was ever pinned for it."""
    captured: int
    end_ms: int
    lease_ms: int | None = None
    lease_until_ms: int | None = None
    """Moved by heartbeats; the only state, with `used`, that no entry tells.

    It has no effect until an entry says so.
    """
    used: int = 0
    on_lapse: OnLapse = "release"
    reference: str | None = None
    micro: int = 0
    """Millionths of credits that captures by tokens have come to."""
    model: str | None = None
    on_behalf_of: str | None = None

    @property
    def remaining(self) -> int:
        """Credits that it still holds."""
        return total(self.shares)

    @property
    def due_ms(self) -> int:
        """When it lapses."""
        return self.end_ms if self.lease_until_ms is None else min(self.end_ms, self.lease_until_ms)


class Open(NamedTuple):
    """The open lots in burn order, and the open holds in the order of their making."""

    lots: tuple[Lot, ...]
    holds: tuple[OpenHold, ...]
    due_ms: int
    """The first moment at which something is due; `NEVER` where nothing will be."""
    limits: tuple[Limit, ...] = ()
    """The user's own spend limits, by id."""
    meters: tuple[Meter, ...] = ()
    """What was spent in the windows of the limits that are in force."""

    @property
    def free(self) -> int:
        """Credits of all lots that can be spent."""
        return sum([lot.free for lot in self.lots])

    def lot(self, seq: int) -> Lot | None:
        """The lot that entry `seq` made, if it is open."""
        return next((lot for lot in self.lots if lot.seq == seq), None)

    def hold(self, seq: int) -> OpenHold | None:
        """The hold that entry `seq` made, if it is open."""
        return next((hold for hold in self.holds if hold.seq == seq), None)


NOTHING = Open((), (), NEVER)


def opened(lots: Iterable[Lot], holds: Iterable[OpenHold]) -> Open | None:
    """The open state of these; a lot without credits, pins and carry is left out.

    None where nothing is open.
    """
    holds = tuple(holds)
    lots = tuple(lots)
    if any(lot.free == 0 for lot in lots):
        pinned = {seq for hold in holds for seq, _ in hold.shares}
        lots = tuple([lot for lot in lots if lot.free or lot.seq in pinned])
    if not lots and not holds:
        return None
    lots = tuple(sorted(lots, key=_burn_order))
    due_ms = min([*[lot.due_ms for lot in lots], *[hold.due_ms for hold in holds]])
    return Open(lots, holds, due_ms)


def or_none(state: Open) -> Open | None:
    """None in place of an open state in which nothing is open."""
    return state if state.lots or state.holds or state.limits or state.meters else None


def with_limits_of(before: Open | None, after: Open | None) -> Open | None:
    """An open state with the limits and meters of the one before it: lots and holds know nothing of
    them.
    """
    if before is None or not (before.limits or before.meters):
        return after
    return (after or NOTHING)._replace(limits=before.limits, meters=before.meters)


def _burn_order(lot: Lot) -> tuple[int, int, bool, int]:
    return lot.burn_order


def total(shares: Shares) -> int:
    """Credits of all shares."""
    return sum([credits for _, credits in shares])


def render(state: Open | None) -> str:
    """The open state as the JSON that the account row keeps; `{}` for none. Arrays, no names: it is
    written at every change.
    """
    if state is None:
        return "{}"
    value: dict[str, Any] = {}
    if state.lots:
        value["l"] = [_as_list(lot) for lot in state.lots]
    if state.holds:
        value["h"] = [_as_list(hold) for hold in state.holds]
    if state.limits:
        value["m"] = [_as_list(limit) for limit in state.limits]
    if state.meters:
        value["s"] = state.meters
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def parse(value: Mapping[str, Any]) -> Open | None:
    """The open state from that JSON, parsed.

    What `render` wrote comes back as the very same value.
    """
    if not value:
        return None
    lots = [Lot(*_rule_in(each)) for each in value.get("l", ())]
    holds = [_hold_of(each) for each in value.get("h", ())]
    limits = tuple([Limit(*each) for each in value.get("m", ())])
    meters = tuple([Meter(*each) for each in value.get("s", ())])
    state = opened(lots, holds)
    return (state or NOTHING)._replace(limits=limits, meters=meters) if limits or meters else state


def _as_list(item: Sequence[Any]) -> list[Any]:
    """A tuple's fields, without the defaults that it ends with."""
    fields = list(item)
    defaults = tuple(type(item)._field_defaults.values())  # type: ignore[attr-defined]
    while len(fields) > len(item) - len(defaults) and fields[-1] == defaults[len(fields) - len(item) - 1]:
        fields.pop()
    return fields


def _rule_in(fields: Sequence[Any]) -> list[Any]:
    place = Lot._fields.index("rollover")
    return [Rollover(*each) if no == place and each is not None else each for no, each in enumerate(fields)]


def _hold_of(fields: Sequence[Any]) -> OpenHold:
    place = OpenHold._fields.index("shares")
    values: list[Any] = list(fields)
    values[place] = tuple([(lot, credits) for lot, credits in values[place]])
    return OpenHold(*values)
