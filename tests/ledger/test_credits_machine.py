"""Lots and holds against a model that keeps one row a credit, under a clock that jumps (properties
P1, P3, P5, P6, P8, P9).
"""

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pedro_ledger.ledger.account import Account, Original
from pedro_ledger.ledger.decide import Facts
from pedro_ledger.ledger.due import as_of
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.open_items import NEVER, Open, parse, render
from pedro_ledger.ledger.operations import (
    Adjustment,
    Capture,
    Closes,
    Deduct,
    Extend,
    Grant,
    Heartbeat,
    Hold,
    Refund,
    Rollover,
    Touch,
    Void,
)
from pedro_ledger.ledger.originals import effects_of, original_of
from pedro_ledger.ledger.units import Moved, Refused, Unit
from tests.support.audits import assert_audited

START = 1_795_000_000_000
GRACE_MS = 20_000
PERIOD_MS = 30_000
seconds = st.integers(1, 60)


@dataclass
class LotTerms:
    """What a model's lot is: the base is lot 0."""

    priority: int = 50
    expires: int = NEVER
    rollover: Rollover | None = None
    is_rollover: bool = False
    carry: int = 0
    carry_expires: int = 0
    ended: bool = False
    ends_with: int = 0
    """The period's lot with which it ends; negative: that of the period after this one."""
    next: int = 0
    next_end: int | None = None
    granted: tuple[int, int, int | None] | None = None
    """As its grant made it: expiry, what it ends with, when the next period ends."""

    def renew_from_grant(self) -> None:
        """It was used up, and is there again: of what renewals told since, nothing is known."""
        if self.granted is not None:
            (self.expires, self.ends_with, self.next_end), self.next = self.granted, 0


@dataclass
class Credit:
    """One credit. `entry` is what spent it, `hold` what pins it."""

    lot: int
    hold: int | None = None
    entry: int | None = None
    drawn: int = 0
    """When it was drawn, as a running number."""


@dataclass
class ModelHold:
    """An open hold of the model."""

    end: int
    lease: int | None
    lease_until: int
    on_lapse: str
    used: int = 0

    @property
    def due(self) -> int:
        return min(self.end, self.lease_until)


@dataclass
class Model:
    """One row a credit; everything by counting and sorting."""

    lots: dict[int, LotTerms] = field(default_factory=lambda: {0: LotTerms()})
    credits: list[Credit] = field(default_factory=list)
    holds: dict[int, ModelHold] = field(default_factory=dict)
    number: int = 0

    def order(self, credit: Credit) -> tuple[int, int, int, int]:
        terms = self.lots[credit.lot]
        return terms.priority, terms.expires, 0 if terms.is_rollover else 1, credit.lot

    def renew(self, closes: int, at: int, own: int, expires: int, next_end: int | None) -> None:
        """The period of lot `closes` ends at `at` at the latest; the next one's is `own`."""
        for terms in self.lots.values():
            if terms.ends_with == -closes:
                terms.ends_with, terms.next_end = own, next_end
            elif terms.ends_with == closes and terms.ended:
                terms.next, terms.next_end = own, next_end
            elif terms.ends_with == closes:
                terms.expires, terms.next, terms.next_end = min(terms.expires, at), own, expires

    def free(self) -> list[Credit]:
        return sorted([c for c in self.credits if c.hold is None and c.entry is None], key=self.order)

    def pinned(self, hold: int) -> list[Credit]:
        return sorted([c for c in self.credits if c.hold == hold], key=lambda c: c.drawn)

    def draw(self, amount: int, *, entry: int | None = None, hold: int | None = None) -> None:
        for credit in self.free()[:amount]:
            self.number += 1
            credit.entry, credit.hold, credit.drawn = entry, hold, self.number

    def add(self, lot: int, amount: int) -> None:
        self.credits += [Credit(lot) for _ in range(amount)]

    def next_due(self) -> tuple[int, int, str] | None:
        due = [(hold.due, seq, "hold") for seq, hold in self.holds.items()]
        for seq, terms in self.lots.items():
            has_free = any(c.lot == seq and c.hold is None and c.entry is None for c in self.credits)
            if terms.expires < NEVER and (has_free or (terms.rollover and not terms.ended and self.is_pinned(seq))):
                due.append((terms.expires, seq, "lot"))
        return min(due, default=None)

    def is_open(self, lot: int) -> bool:
        """Whether it has credits that are free or pinned."""
        return any(c.lot == lot and c.entry is None for c in self.credits)

    def is_pinned(self, lot: int) -> bool:
        return any(c.lot == lot and c.hold is not None for c in self.credits)

    def advance(self, now: int, seq: int) -> int:
        """Book what is due; `seq` is the last entry's. Returns the last entry's seq after it."""
        while (due := self.next_due()) is not None and due[0] <= now:
            seq = self.lapse(due[1], seq) if due[2] == "hold" else self.end(due[1], seq)
        return seq

    def lapse(self, seq: int, last: int) -> int:
        hold = self.holds.pop(seq)
        pinned = self.pinned(seq)
        taken = {"release": 0, "capture_used": hold.used, "capture_all": len(pinned)}[hold.on_lapse]
        for credit in pinned:
            credit.hold = None
        for credit in pinned[:taken]:
            self.number += 1
            credit.entry, credit.drawn = last + 1, self.number
        return last + 1

    def end(self, lot: int, last: int) -> int:
        terms = self.lots[lot]
        free = [c for c in self.credits if c.lot == lot and c.hold is None and c.entry is None]
        pinned = sum(c.lot == lot and c.hold is not None for c in self.credits)
        if terms.ended:
            rolled, terms.carry = min(terms.carry, len(free)), terms.carry - min(terms.carry, len(free))
            was_ended = True
        else:
            owed = 0
            if terms.rollover is not None:
                owed = (len(free) + pinned) * terms.rollover.percent // 100
                if terms.rollover.cap is not None:
                    others = sum(
                        self.lots[c.lot].is_rollover and not self.lots[c.lot].ended and c.lot != lot
                        for c in self.credits
                        if c.hold is None and c.entry is None
                    )
                    owed = min(owed, max(0, terms.rollover.cap - others))
                if terms.rollover.expires_in_ms is not None:
                    terms.carry_expires = terms.expires + terms.rollover.expires_in_ms
                elif terms.next_end is not None:
                    terms.carry_expires = terms.next_end
                else:
                    owed = 0
            rolled = min(owed, len(free))
            terms.carry = min(owed - rolled, pinned)
            was_ended, terms.ended = False, True
        for credit in free:
            self.credits.remove(credit)
        last += 1
        if rolled:
            last += 1
            rule = terms.rollover
            assert rule is not None
            again = rule._replace(times=rule.times - 1) if rule.times > 1 else None
            self.lots[last] = heir = LotTerms(terms.priority, terms.carry_expires, again, is_rollover=True)
            if rule.expires_in_ms is None:
                heir.ends_with = terms.next or -terms.ends_with
                heir.next_end = terms.next_end if was_ended and terms.next else None
                heir.granted = heir.expires, 0, None
            self.add(last, rolled)
        return last


class Credits(RuleBasedStateMachine):
    """The account as the rules keep it, beside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.account = Account.new("u")
        self.entries: list[Entry] = []
        self.model = Model()
        self.now = START
        self.count = 0
        self.chains: dict[bool, tuple[int, int]] = {}
        """Of periods that a schedule ends, and of others: the last grant, and its end."""
        self.unsettled: int | None = None
        """The seq after which the model must book what the last operation gave back to lots that
        had ended.
        """

    def ask(self, kind: type, **fields: Any) -> Entry | Refused | Moved:
        """Let the rules decide one operation in a unit of its own."""
        self.count += 1
        if kind not in {Heartbeat, Touch}:
            fields["key"] = f"k{self.count}"
        operation = kind(actor="a", **fields)
        named = getattr(operation, "entry_seq", None) or getattr(operation, "hold_seq", None)
        originals: dict[int, Original | None] = {} if named is None else {named: self.loaded(named)}
        self.model_seq = self.model.advance(self.now, self.account.seq)
        unit: Unit[None] = Unit(self.account, Facts(originals=originals, refund_grace_ms=GRACE_MS), self.now)
        unit.add(None, operation)
        self.account = unit.seal()
        ((_, decided),) = unit.decided
        made = [*unit.booked, *([decided] if isinstance(decided, Entry) else [])]
        self.entries += sorted(made, key=lambda entry: entry.seq)
        self.unsettled = decided.seq if isinstance(decided, Entry) else self.model_seq
        return decided

    def loaded(self, seq: int) -> Original:
        """An earlier entry as the store loads it."""
        entry = self.entries[seq - 1]
        lots = [lot for lot, _ in effects_of(entry).get("lots", ()) if lot]
        related = [each for each in self.entries if each.related_seq == seq]
        ends = [each for each in self.entries if each.kind == "expiry" and each.related_seq in lots]
        return original_of(entry, related, [*(self.entries[lot - 1] for lot in lots), *ends])

    @property
    def available(self) -> int:
        return len(self.model.free())

    @rule(after=st.sampled_from([1, 500, 1_000, 5_000, 30_000, 200_000]))
    def time_goes_on(self, after: int) -> None:
        self.now += after

    @rule(credits=st.integers(1, 25), lasts=st.none() | seconds, priority=st.sampled_from([None, 0, 40, 50, 60]))
    def grant(self, credits: int, lasts: int | None, priority: int | None) -> None:
        entry = self.ask(Grant, credits=credits, source="topup", expires_in_s=lasts, priority=priority)
        assert isinstance(entry, Entry)
        if lasts is None and priority in {None, 50}:
            self.model.add(0, credits)
            assert entry.effects is None
        else:
            expires = NEVER if lasts is None else self.now + lasts * 1000
            self.model.lots[entry.seq] = LotTerms(50 if priority is None else priority, expires)
            self.model.add(entry.seq, credits)

    @rule(
        credits=st.integers(1, 25), lasts=seconds, percent=st.integers(1, 100), cap=st.none() | st.integers(1, 20),
        times=st.integers(1, 3), again=seconds,
    )  # fmt: skip
    def grant_that_rolls_over(
        self, credits: int, lasts: int, percent: int, cap: int | None, times: int, again: int
    ) -> None:
        rule_ = Rollover(percent, cap, times, again * 1000)
        entry = self.ask(Grant, credits=credits, source="plan", expires_in_s=lasts, rollover=rule_)
        assert isinstance(entry, Entry)
        self.model.lots[entry.seq] = LotTerms(50, self.now + lasts * 1000, rule_)
        self.model.add(entry.seq, credits)

    @rule(
        scheduled=st.booleans(), credits=st.integers(1, 25), percent=st.integers(1, 100),
        cap=st.none() | st.integers(1, 20), times=st.integers(1, 3), late=st.sampled_from([None, 0, 0, 5_000]),
    )  # fmt: skip
    def period(
        self, *, scheduled: bool, credits: int, percent: int, cap: int | None, times: int, late: int | None
    ) -> None:
        """The first period of a chain, or the next one, which ends the one before; now, or after
        that one has ended.
        """
        before = self.chains.get(scheduled)
        if before is not None and late is not None:
            self.now = max(self.now, before[1] + late)
        ends = self.now + PERIOD_MS if before is None else before[1] + PERIOD_MS
        while ends <= self.now:
            ends += PERIOD_MS
        if scheduled and before is not None and self.now < before[1]:
            return
        rule_ = Rollover(percent, cap, times, None)
        expires = ends if scheduled else ends + GRACE_MS
        entry = self.ask(
            Grant, credits=credits, source="plan", expires_at_ms=expires, rollover=rule_,
            closes=None if before is None else Closes(*before), next_ends_ms=ends + PERIOD_MS if scheduled else None,
        )  # fmt: skip
        assert isinstance(entry, Entry)
        if before is not None:
            self.model.renew(*before, entry.seq, expires, ends + PERIOD_MS if scheduled else None)
        self.chains[scheduled] = entry.seq, ends
        following = ends + PERIOD_MS if scheduled else None
        self.model.lots[entry.seq] = LotTerms(
            50, expires, rule_, ends_with=entry.seq, next_end=following, granted=(expires, entry.seq, following)
        )
        self.model.add(entry.seq, credits)

    @rule(credits=st.integers(1, 40))
    def deduct(self, credits: int) -> None:
        decided = self.ask(Deduct, operation_type="X", credits=credits)
        assert isinstance(decided, Entry) == (credits <= self.available)
        if isinstance(decided, Entry):
            self.model.draw(credits, entry=decided.seq)
            self.check_lots(decided)

    @rule(data=st.data(), part=st.integers(1, 12))
    def refund(self, data: st.DataObject, part: int) -> None:
        spent = sorted({c.entry for c in self.model.credits if c.entry is not None})
        if not spent:
            return
        seq = data.draw(st.sampled_from(spent))
        entry = self.entries[seq - 1]
        decided = self.ask(Refund, entry_id=entry.id, entry_seq=seq, credits=part)
        gone = sorted([c for c in self.model.credits if c.entry == seq], key=lambda c: -c.drawn)
        assert isinstance(decided, Entry) == (part <= len(gone)), decided
        if not isinstance(decided, Entry):
            return
        own = []
        for credit in gone[:part]:
            terms = self.model.lots[credit.lot]
            if not terms.ended and not self.model.is_open(credit.lot):
                terms.renew_from_grant()
            credit.entry = None
            if terms.ended or terms.expires <= self.now:
                own.append(credit)
        if own:
            priority = min(self.model.lots[c.lot].priority for c in own)
            self.model.lots[decided.seq] = LotTerms(priority, self.now + GRACE_MS)
            for credit in own:
                credit.lot = decided.seq

    @rule(credits=st.integers(-30, 30))
    def adjust(self, credits: int) -> None:
        decided = self.ask(Adjustment, credits=credits, source="correction")
        assert isinstance(decided, Entry) == (-credits <= self.available)
        if isinstance(decided, Entry) and credits > 0:
            self.model.add(0, credits)
        elif isinstance(decided, Entry):
            self.model.draw(-credits, entry=-decided.seq)
            self.model.credits = [c for c in self.model.credits if c.entry != -decided.seq]

    @rule(
        credits=st.integers(1, 30), least=st.none() | st.integers(1, 10), lasts=seconds, lease=st.none() | seconds,
        on_lapse=st.sampled_from(["release", "capture_used", "capture_all"]),
    )  # fmt: skip
    def hold(self, credits: int, least: int | None, lasts: int, lease: int | None, on_lapse: str) -> None:
        least = None if least is None else min(least, credits)
        decided = self.ask(
            Hold, operation_type="X", credits=credits, credits_min=least, expires_in_s=lasts, lease_s=lease,
            on_lapse=on_lapse,
        )  # fmt: skip
        wanted = credits if least is None else max(least, min(credits, self.available))
        assert isinstance(decided, Entry) == (wanted <= self.available)
        if isinstance(decided, Entry):
            self.model.draw(wanted, hold=decided.seq)
            lease_until = NEVER if lease is None else self.now + lease * 1000
            self.model.holds[decided.seq] = ModelHold(self.now + lasts * 1000, lease, lease_until, on_lapse)

    def some_hold(self, data: st.DataObject) -> Entry | None:
        made = [entry for entry in self.entries if entry.kind == "hold"]
        return data.draw(st.sampled_from(made)) if made else None

    @rule(
        data=st.data(), credits=st.integers(0, 35), final=st.booleans(),
        overage=st.sampled_from(["refuse", "allow", "cap"]),
    )  # fmt: skip
    def capture(self, data: st.DataObject, credits: int, final: bool, overage: str) -> None:
        made = self.some_hold(data)
        if made is None or (credits == 0 and not final):
            return
        decided = self.ask(Capture, hold_id=made.id, hold_seq=made.seq, credits=credits, final=final, overage=overage)
        hold = self.model.holds.get(made.seq)
        if hold is None:
            self.captured_late(made, credits, overage, decided)
            return
        pinned = self.model.pinned(made.seq)
        over = max(0, credits - len(pinned))
        if over and (overage == "refuse" or (overage == "allow" and over > self.available)):
            assert isinstance(decided, Refused)
            return
        assert isinstance(decided, Entry)
        for credit in pinned[:credits]:
            self.model.number += 1
            credit.hold, credit.entry, credit.drawn = None, decided.seq, self.model.number
        self.model.draw(min(over, self.available), entry=decided.seq)
        if final:
            for credit in pinned[credits:]:
                credit.hold = None
            del self.model.holds[made.seq]
        elif hold.lease is not None:
            hold.lease_until = max(hold.lease_until, self.now + hold.lease * 1000)
        self.check_lots(decided)

    def captured_late(self, made: Entry, credits: int, overage: str, decided: Any) -> None:
        closing = [e for e in self.entries if e.related_seq == made.seq and e.key == f"§lapse:{made.seq}"]
        late = [e for e in self.entries if e.related_seq == made.seq and closing and e.seq > closing[0].seq
                and e.kind in {"capture", "void"} and e is not decided]  # fmt: skip
        is_in_time = bool(closing) and self.now - (closing[0].expires_at_ms or 0) < 24 * 3_600_000
        wanted = max(0, credits + (closing[0].credits if closing else 0))
        if not closing or overage == "refuse" or late or not is_in_time:
            assert isinstance(decided, Refused), "closed holds stay closed"
        elif wanted > self.available and overage == "allow":
            assert isinstance(decided, Refused)
        else:
            assert isinstance(decided, Entry)
            self.model.draw(min(wanted, self.available), entry=decided.seq)

    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        made = self.some_hold(data)
        if made is None:
            return
        decided = self.ask(Void, hold_id=made.id, hold_seq=made.seq)
        assert isinstance(decided, Entry) == (made.seq in self.model.holds)
        if isinstance(decided, Entry):
            for credit in self.model.pinned(made.seq):
                credit.hold = None
            del self.model.holds[made.seq]

    @rule(data=st.data(), credits=st.integers(0, 20), lasts=st.none() | seconds)
    def extend(self, data: st.DataObject, credits: int, lasts: int | None) -> None:
        made = self.some_hold(data)
        if made is None:
            return
        decided = self.ask(Extend, hold_id=made.id, hold_seq=made.seq, credits=credits, expires_in_s=lasts)
        hold = self.model.holds.get(made.seq)
        assert isinstance(decided, Entry) == (hold is not None and credits <= self.available)
        if isinstance(decided, Entry) and hold is not None:
            self.model.draw(credits, hold=made.seq)
            if lasts is not None:
                hold.end = min(self.now + lasts * 1000, made.at_ms + 24 * 3_600_000)
            if hold.lease is not None:
                hold.lease_until = max(hold.lease_until, self.now + hold.lease * 1000)

    @rule(data=st.data(), used=st.none() | st.integers(0, 30))
    def heartbeat(self, data: st.DataObject, used: int | None) -> None:
        made = self.some_hold(data)
        if made is None:
            return
        decided = self.ask(Heartbeat, hold_id=made.id, hold_seq=made.seq, used=used)
        hold = self.model.holds.get(made.seq)
        assert isinstance(decided, Moved) == (hold is not None)
        if hold is not None:
            hold.used = max(hold.used, used or 0)
            if hold.lease is not None:
                hold.lease_until = max(hold.lease_until, self.now + hold.lease * 1000)

    @rule()
    def touch(self) -> None:
        assert isinstance(self.ask(Touch), Moved)

    def check_lots(self, entry: Entry) -> None:
        """What the entry says that it drew is what the model drew."""
        effects = json.loads(entry.effects) if entry.effects is not None else {}
        said: dict[int, int] = {0: -entry.credits}
        if "lots" in effects:
            said = {0: 0}
            for lot, credits in effects["lots"]:
                said[lot] = said.get(lot, 0) - credits
        drawn = [credit.lot for credit in self.model.credits if credit.entry == entry.seq]
        assert {lot: n for lot, n in said.items() if n} == {lot: drawn.count(lot) for lot in set(drawn)}

    @invariant()
    def the_account_is_what_the_model_counts(self) -> None:
        shown, _ = as_of(self.account, self.now)
        model = self.model
        if self.unsettled is not None:
            model.advance(self.now, self.unsettled)
            self.unsettled = None
        # The model is brought to now by the next operation; what is shown now is compared with a
        # copy of it.
        copy = Model(
            {seq: LotTerms(**vars(terms)) for seq, terms in model.lots.items()},
            [Credit(**vars(credit)) for credit in model.credits],
            {seq: ModelHold(**vars(hold)) for seq, hold in model.holds.items()},
            model.number,
        )
        copy.advance(self.now, self.account.seq)
        free = copy.free()
        assert shown.available == len(free)
        assert shown.held == sum(credit.hold is not None for credit in copy.credits)
        state = shown.open
        for seq in copy.lots:
            lot = None if state is None or seq == 0 else state.lot(seq)
            ours = shown.base if seq == 0 else 0 if lot is None else lot.free
            assert ours == sum(credit.lot == seq for credit in free), f"lot {seq}"
        self.check_identities(shown, state)

    def check_identities(self, account: Account, state: Open | None) -> None:
        assert account.posted == account.base + (0 if state is None else state.free) + account.held, "I1"
        held = 0 if state is None else sum(hold.remaining for hold in state.holds)
        assert account.held == held, "I1"
        assert min(account.base, account.held, account.available) >= 0
        assert parse(json.loads(render(self.account.open))) == self.account.open, "P9"
        assert account.due_ms > self.now, "I3"

    @invariant()
    def the_audit_agrees(self) -> None:
        assert_audited(self.account, self.entries)


TestCredits = Credits.TestCase
TestCredits.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
