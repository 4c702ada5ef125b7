"""Recomputing what entries did to lots and holds, by the same rules that made them, to compare with
what they say.

Burn order, pins, what went back, expiries and rollovers all follow from the entries before. Only
two things do not: when a lease lapsed and what a heartbeat said was used; of these it is checked
that they are possible.
"""

from collections.abc import Mapping
from typing import Any

from pedro_ledger.ledger.account import Account, Closing, Original
from pedro_ledger.ledger.decide import Facts, decide
from pedro_ledger.ledger.due import end_lot, lapse
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.errors import Refusal
from pedro_ledger.ledger.open_items import BASE_PRIORITY, Lot, Open
from pedro_ledger.ledger.operations import (
    EXPIRY_KEY,
    HOLD_LENGTH_MAX_S,
    LAPSE_KEY,
    Adjustment,
    Capture,
    Closes,
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
from pedro_ledger.ledger.originals import effects_of, lot_of, rule_of, shares_of, tokens_of

COMPARED = ("kind", "operation_type", "credits", "balance_after", "held_after", "related_seq", "source", "expires_at_ms",
            "priority", "effects")  # fmt: skip


class Recomputation:
    """Follows one user's entries and keeps the open state that they lead to."""

    def __init__(self, user_id: str, seq: int, posted: int) -> None:
        """From entry `seq` on, up to which the account was plain and had `posted` credits."""
        self._account = Account.new(user_id)._replace(seq=seq, posted=posted)
        self._expected: list[Entry] = []
        """What must come next, since the entry before made it due."""
        self._open_after: Open | None = None
        self._lots: dict[int, Lot] = {}
        self._spent: dict[int, Original] = {}
        self._holds: dict[int, Original] = {}

    @property
    def open(self) -> Open | None:
        """What is open after the last entry; leases and `used` as if nothing had been heard."""
        return self._account.open

    def follow(self, entry: Entry) -> str | None:
        """Take in the next entry. Returns what is wrong with it."""
        effects = effects_of(entry)
        try:
            made = self._make(entry, effects)
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            return f"its effects are impossible: {error}"
        if isinstance(made, str):
            return made
        account, expected = made
        for name in COMPARED:
            ours, theirs = getattr(expected, name), getattr(entry, name)
            if ours != theirs:
                return f"{name} should be {ours}, it is {theirs}"
        self._account = account._replace(head=entry.hash)
        self._note(entry, effects)
        return None

    def _make(self, entry: Entry, effects: Mapping[str, Any]) -> tuple[Account, Entry] | str:
        """The account and the entry as the rules make them."""
        before = self._account
        if self._expected:
            expected = self._expected.pop(0)
            return before._replace(
                seq=expected.seq, posted=expected.balance_after, held=expected.held_after, open=self._open_after
            ), expected
        state = before.open
        if entry.kind == "expiry" or entry.key.startswith(LAPSE_KEY):
            return self._make_due(entry)
        if state is not None:
            overdue = next((lot for lot in state.lots if lot.due_ms <= entry.at_ms), None)
            if overdue is not None:
                return f"it was decided while lot {overdue.seq}, which had ended, was not booked"
            lapsed = next((hold for hold in state.holds if hold.end_ms <= entry.at_ms), None)
            if lapsed is not None:
                return f"it was decided while hold {lapsed.seq}, which had lapsed, was not booked"
        operation = self._operation(entry, effects)
        grace_ms = 0 if entry.expires_at_ms is None else entry.expires_at_ms - entry.at_ms
        over_max = effects.get("over", 0) if "limited" in effects else None  # limits are told by no entry
        facts = Facts(originals=self._originals(entry, operation), refund_grace_ms=grace_ms, over_max=over_max)
        decision = decide(before, operation, entry.at_ms, facts)
        if isinstance(decision, Refusal):
            return f"the rules refuse it: {decision.detail}"
        return decision

    def _make_due(self, entry: Entry) -> tuple[Account, Entry] | str:
        state = self._account.open
        assert state is not None, "nothing is open"
        made = self._lapse(entry, state) if entry.key.startswith(LAPSE_KEY) else self._end_lot(entry, state)
        if isinstance(made, str):
            return made
        if isinstance(made, Refusal):
            return f"the rules refuse it: {made.detail}"
        account, entries = made
        self._expected, self._open_after = entries[1:], account.open
        if not self._expected:
            return account, entries[0]
        first = entries[0]
        return self._account._replace(seq=first.seq, posted=first.balance_after, held=first.held_after), first

    def _lapse(self, entry: Entry, state: Open) -> tuple[Account, list[Entry]] | Refusal | str:
        hold = state.hold(_related(entry))
        if hold is None:
            return f"hold {entry.related_seq} is not open"
        moment_ms = entry.expires_at_ms
        if moment_ms is None or moment_ms > hold.end_ms or (hold.lease_ms is None and moment_ms != hold.end_ms):
            return f"hold {hold.seq} cannot have lapsed at that moment"
        lease_until_ms = None if hold.lease_ms is None else moment_ms
        return lapse(
            self._account, state, hold._replace(lease_until_ms=lease_until_ms, used=-entry.credits), entry.at_ms
        )

    def _end_lot(self, entry: Entry, state: Open) -> tuple[Account, list[Entry]] | Refusal | str:
        lot = state.lot(_related(entry))
        if lot is None:
            return f"lot {entry.related_seq} is not open"
        if lot.due_ms > entry.at_ms:
            return f"lot {lot.seq} has not ended"
        return end_lot(self._account, state, lot, entry.at_ms)

    def _operation(self, entry: Entry, effects: Mapping[str, Any]) -> Operation:
        """What was asked, as far as it shows: enough to make the entry again."""
        key, actor = entry.key, entry.actor
        operation: Operation
        match entry.kind:
            case "deduct":
                behalf = effects.get("onBehalfOf")
                operation = Deduct(
                    key, actor, entry.operation_type or "", -entry.credits, on_behalf_of=behalf,
                    model=effects.get("model"), tokens=tokens_of(effects),
                )  # fmt: skip
            case "grant" if entry.source != "rollover":
                rule = effects.get("rollover")
                operation = Grant(
                    key, actor, entry.credits, entry.source or "", expires_at_ms=entry.expires_at_ms,
                    priority=BASE_PRIORITY if entry.priority is None else entry.priority,
                    rollover=rule and rule_of(rule), closes=Closes(*effects["until"]) if "until" in effects else None,
                    next_ends_ms=effects.get("next"),
                )  # fmt: skip
            case "opening":
                operation = Opening(key, actor, entry.credits)
            case "adjustment" if entry.related_seq is not None:
                operation = Recovery(key, actor, -entry.credits, entry.source or "", grant_seq=entry.related_seq)
            case "adjustment":
                operation = Adjustment(key, actor, entry.credits, entry.source or "")
            case "refund":
                original = self._refunded(entry)
                operation = Refund(
                    key, actor, original and original.entry_id, original and original.seq, entry.operation_type,
                    entry.credits,
                )  # fmt: skip
            case "hold":
                operation = self._hold_asked(entry, effects)
            case "capture" | "void" if entry.kind == "capture" or "final" in effects:
                operation = self._capture_asked(entry, effects)
            case "void":
                operation = Void(key, actor, effects["hold"], _related(entry))
            case "extend":
                operation = self._extend_asked(entry, effects)
            case other:
                raise ValueError(f"nothing makes a {other} here")
        return operation

    def _refunded(self, entry: Entry) -> Original | None:
        """The entry that a refund names; one that drew from no lot was not kept, and is as it must
        have been.
        """
        if entry.related_seq is None:
            return None
        plain = Original(entry.related_seq, "?", "deduct", entry.operation_type, entry.credits, 0)
        original = self._spent.get(entry.related_seq, plain)
        return original._replace(terms={seq: self._lots[seq] for seq in original.terms})

    def _hold_asked(self, entry: Entry, effects: Mapping[str, Any]) -> Hold:
        terms = effects.get("terms") or {}
        assert entry.expires_at_ms is not None, "a hold has an end"
        return Hold(
            entry.key, entry.actor, entry.operation_type or "", effects["held"],
            expires_in_s=(entry.expires_at_ms - entry.at_ms) // 1000, lease_s=terms.get("lease"),
            on_lapse=terms.get("onLapse", "release"), reference=terms.get("reference"),
            on_behalf_of=effects.get("onBehalfOf"), model=effects.get("model"), tokens=tokens_of(effects),
        )  # fmt: skip

    def _extend_asked(self, entry: Entry, effects: Mapping[str, Any]) -> Extend:
        hold = None if self.open is None else self.open.hold(_related(entry))
        asked = Extend(entry.key, entry.actor, effects["hold"], _related(entry), effects.get("held", 0))
        if hold is None or entry.expires_at_ms is None or entry.expires_at_ms == hold.end_ms:
            return asked
        is_longest = entry.expires_at_ms == hold.at_ms + HOLD_LENGTH_MAX_S * 1000
        lasts_s = HOLD_LENGTH_MAX_S if is_longest else (entry.expires_at_ms - entry.at_ms) // 1000
        return asked._replace(expires_in_s=lasts_s)

    def _capture_asked(self, entry: Entry, effects: Mapping[str, Any]) -> Capture:
        asked = -entry.credits + effects.get("uncollected", 0)
        closed = self._holds.get(_related(entry))
        if closed is not None and closed.closing is not None:  # what the lapse took was counted as paid
            asked += closed.closing.lapse_captured
        return Capture(
            entry.key, entry.actor, effects["hold"], _related(entry), asked,
            final=effects.get("final", False), overage="cap", model=effects.get("model"), tokens=tokens_of(effects),
            micro=effects.get("micro", 0) if "tokens" in effects else None,
        )  # fmt: skip

    def _originals(self, entry: Entry, operation: Operation) -> dict[int, Original | None]:
        if isinstance(operation, Refund) and operation.entry_seq is not None:
            return {operation.entry_seq: self._refunded(entry)}
        if isinstance(operation, Capture | Extend | Void):
            return {operation.hold_seq: self._holds.get(operation.hold_seq)}
        return {}

    def _note(self, entry: Entry, effects: Mapping[str, Any]) -> None:
        """Remember what later entries name."""
        state = self._account.open
        if entry.kind in {"grant", "refund"} and state is not None and state.lot(entry.seq) is not None:
            self._lots[entry.seq] = lot_of(entry)  # as a refund that finds it used up sees it
        if entry.key.startswith(EXPIRY_KEY) and entry.related_seq in self._lots:
            self._lots[entry.related_seq] = self._lots[entry.related_seq]._replace(is_closed=True)
        if entry.kind in {"deduct", "capture"} and "lots" in effects:
            spent = shares_of(effects.get("lots"))
            terms = {seq: self._lots[seq] for seq, _ in spent or () if seq in self._lots}
            self._spent[entry.seq] = Original(
                entry.seq, entry.id, entry.kind, entry.operation_type, -entry.credits, 0, spent, terms
            )
        if entry.kind == "refund" and entry.related_seq in self._spent:
            original = self._spent[entry.related_seq]
            self._spent[entry.related_seq] = original._replace(
                credits_refunded=original.credits_refunded + entry.credits
            )
        self._note_hold(entry, effects)

    def _note_hold(self, entry: Entry, effects: Mapping[str, Any]) -> None:
        state = self._account.open
        if entry.kind == "hold":
            hold = None if state is None else state.hold(entry.seq)
            self._holds[entry.seq] = Original(entry.seq, entry.id, "hold", entry.operation_type, 0, 0, hold=hold)
        known = None if entry.related_seq is None else self._holds.get(entry.related_seq)
        if known is None or entry.kind in {"refund", "grant"}:
            return
        known = known._replace(credits_used=known.credits_used - entry.credits)
        is_open = state is not None and state.hold(known.seq) is not None
        if not is_open:
            has_lapsed = entry.key.startswith(LAPSE_KEY)
            if known.closing is None:
                known = known._replace(closing=Closing(
                    entry.id, entry.kind, entry.expires_at_ms if has_lapsed and entry.expires_at_ms else entry.at_ms,
                    has_lapsed, -entry.credits if has_lapsed else 0,
                ))  # fmt: skip
            else:
                known = known._replace(closing=known.closing._replace(is_captured_late=True))
        assert entry.related_seq is not None, "it was found by it"
        self._holds[entry.related_seq] = known


def without_heartbeats(state: Open | None) -> Any:
    """Open lots and holds without what no entry tells."""
    if state is None or not (state.lots or state.holds):
        return None
    return state.lots, tuple([hold._replace(lease_until_ms=None, used=0) for hold in state.holds])


def _related(entry: Entry) -> int:
    assert entry.related_seq is not None, "it names no hold"
    return entry.related_seq
