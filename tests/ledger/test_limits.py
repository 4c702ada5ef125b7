"""Spend limits against a model that sums entries by the date that a clock shows (property P12): at
all times and in any order, what was spent in a window and is held stays within each limit, and
nothing is refused that fits.
"""

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pedro_ledger.ledger.account import Account, Original
from pedro_ledger.ledger.decide import Facts
from pedro_ledger.ledger.due import as_of
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.errors import InsufficientCredits, LimitNotFound, SpendLimitExceeded, TooManyLimits
from pedro_ledger.ledger.evidence.audit import AccountSnapshot, UserAudit
from pedro_ledger.ledger.limits import LIMITS_MAX, LimitBook, in_force, is_limited, unread
from pedro_ledger.ledger.meters import Limit, Meter, MeterQuery
from pedro_ledger.ledger.open_items import parse, render
from pedro_ledger.ledger.operations import (
    Capture,
    Deduct,
    DropLimit,
    Extend,
    Grant,
    Heartbeat,
    Hold,
    Refund,
    SetLimit,
    Touch,
    Void,
)
from pedro_ledger.ledger.originals import effects_of, original_of
from pedro_ledger.ledger.units import Moved, Refused, Unit
from pedro_ledger.ledger.windows import span_at

START = 1_795_000_000_000
PAULO = "America/Sao_Paulo"
BOOK: LimitBook = {
    None: (Limit("all", 60, "day", scope="all"),),
    "pro": (
        Limit("chat", 45, "day", PAULO, "CHAT", scope="plan"),
        Limit("ana", 90, "month", PAULO, None, "ana", "plan"),
    ),
    "free": (Limit("nothing", 0, "day", scope="plan"),),
}
types = st.sampled_from(["CHAT", "IMAGE"])
members = st.sampled_from([None, "ana", "ben"])
own_limits = st.builds(
    Limit, st.sampled_from(["a", "b"]), st.integers(0, 80), st.sampled_from(["day", "month"]),
    st.sampled_from(["UTC", PAULO, "Asia/Tokyo"]), st.none() | types, members,
)  # fmt: skip


def shown_date(at_ms: int, limit: Limit) -> tuple[int, ...]:
    moment = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(limit.zone))
    return (moment.year, moment.month) if limit.window == "month" else (moment.year, moment.month, moment.day)


class Limits(RuleBasedStateMachine):
    """An account of plan pro under limits of all kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.account = Account.new("u", "pro")
        self.entries: list[Entry] = []
        self.now = START
        self.count = 0
        self.own: dict[str, Limit] = {}
        self.ask(Grant, credits=5_000, source="topup")

    def ask(self, kind: type, **fields: Any) -> Entry | Refused | Moved:
        """Decide as an actor does: what a meter needs is read before."""
        self.count += 1
        if kind not in {Heartbeat, Touch, SetLimit, DropLimit}:
            fields["key"] = f"k{self.count}"
        operation = kind(actor="a", **fields)
        named = getattr(operation, "entry_seq", None) or getattr(operation, "hold_seq", None)
        originals: dict[int, Original | None] = {} if named is None else {named: self.loaded(named)}
        unit: Unit[None] = Unit(self.account, Facts(originals=originals, limits=BOOK), self.now)
        if is_limited(self.account, BOOK):
            unit.meter([self.read(query) for query in unread(self.account, BOOK, (), self.now)])
        unit.add(None, operation)
        self.account = unit.seal()
        ((_, decided),) = unit.decided
        made = [*unit.booked, *([decided] if isinstance(decided, Entry) else [])]
        self.entries += sorted(made, key=lambda entry: entry.seq)
        return decided

    def read(self, query: MeterQuery) -> Meter:
        """As `count_spent.sql` does, which is tried on PostgreSQL."""
        counts = query.counts
        limit = Limit("?", 0, *counts)
        return Meter(*counts, span_at(self.now, counts.window, counts.zone).start_ms, self.spent(limit))

    def loaded(self, seq: int) -> Original:
        related = [each for each in self.entries if each.related_seq == seq]
        return original_of(self.entries[seq - 1], related, [])

    def spent(self, limit: Limit) -> int:
        """By the date that a clock on the wall shows."""
        today = shown_date(self.now, limit)
        found = 0
        for entry in self.entries:
            of = self.entries[entry.related_seq - 1] if entry.kind == "refund" and entry.related_seq else entry
            if of.kind not in {"deduct", "capture"} or shown_date(of.at_ms, limit) != today:
                continue
            if self.matches(limit, of.operation_type, effects_of(of).get("onBehalfOf")):
                found -= entry.credits
        return found

    @staticmethod
    def matches(limit: Limit, operation_type: str | None, member: str | None) -> bool:
        return limit.operation_type in {None, operation_type} and limit.on_behalf_of in {None, member}

    def used(self, limit: Limit) -> int:
        shown, _ = as_of(self.account, self.now)
        holds = () if shown.open is None else shown.open.holds
        return self.spent(limit) + sum(
            hold.remaining for hold in holds if self.matches(limit, hold.operation_type, hold.on_behalf_of)
        )

    def left(self, operation_type: str | None, member: str | None) -> int:
        """After booking what is due."""
        self.ask(Touch)
        limits = [each for each in in_force(self.account, BOOK) if self.matches(each, operation_type, member)]
        return max(0, min(limit.credits - self.used(limit) for limit in limits))

    def judge(self, decided: Any, asked: int, left: int) -> bool:
        """Whether it passed, which it must exactly where it fits."""
        if asked <= left:
            assert isinstance(decided, Entry), decided
            return True
        assert isinstance(decided, Refused)
        assert isinstance(decided.refusal, SpendLimitExceeded)
        assert decided.refusal.facts["creditsLeft"] < asked
        return False

    @rule(after=st.sampled_from([1, 1_000, 30_000, 3_600_000, 86_400_000, 40 * 86_400_000]))
    def time_goes_on(self, after: int) -> None:
        self.now += after

    @rule(credits=st.integers(1, 30), operation_type=types, member=members)
    def deduct(self, credits: int, operation_type: str, member: str | None) -> None:
        left = self.left(operation_type, member)
        decided = self.ask(Deduct, operation_type=operation_type, credits=credits, on_behalf_of=member)
        self.judge(decided, credits, left)

    @rule(
        credits=st.integers(1, 30), least=st.none() | st.integers(1, 10), lasts=st.integers(5, 90_000), operation_type=types,
        member=members, on_lapse=st.sampled_from(["release", "capture_all"]),
    )  # fmt: skip
    def hold(
        self, credits: int, least: int | None, lasts: int, operation_type: str, member: str | None, on_lapse: str
    ) -> None:
        left = self.left(operation_type, member)
        least = None if least is None else min(least, credits)
        decided = self.ask(
            Hold, operation_type=operation_type, credits=credits, credits_min=least, expires_in_s=lasts,
            on_lapse=on_lapse, on_behalf_of=member,
        )  # fmt: skip
        asked = credits if least is None else max(least, min(credits, left))
        if self.judge(decided, asked, left):
            assert isinstance(decided, Entry)
            assert effects_of(decided)["held"] == asked

    def some_hold(self, data: st.DataObject) -> tuple[Entry, str | None] | None:
        made = [entry for entry in self.entries if entry.kind == "hold"]
        if not made:
            return None
        hold = data.draw(st.sampled_from(made))
        return hold, effects_of(hold).get("onBehalfOf")

    @rule(
        data=st.data(), credits=st.integers(0, 40), final=st.booleans(),
        overage=st.sampled_from(["refuse", "allow", "cap"]),
    )  # fmt: skip
    def capture(self, data: st.DataObject, credits: int, final: bool, overage: str) -> None:
        found = self.some_hold(data)
        if found is None or (credits == 0 and not final):
            return
        made, member = found
        left = self.left(made.operation_type, member)
        state = self.account.open
        hold = None if state is None else state.hold(made.seq)
        decided = self.ask(Capture, hold_id=made.id, hold_seq=made.seq, credits=credits, final=final, overage=overage)
        if hold is None:
            return
        over = max(0, credits - hold.remaining)
        if overage == "allow":
            self.judge(decided, over, left)
        elif overage == "cap":
            assert isinstance(decided, Entry), decided
            effects = effects_of(decided)
            assert effects.get("over", 0) == min(over, left)
            assert effects.get("uncollected", 0) == over - min(over, left)

    @rule(data=st.data(), credits=st.integers(1, 20))
    def extend(self, data: st.DataObject, credits: int) -> None:
        found = self.some_hold(data)
        if found is None:
            return
        made, member = found
        left = self.left(made.operation_type, member)
        is_open = self.account.open is not None and self.account.open.hold(made.seq) is not None
        decided = self.ask(Extend, hold_id=made.id, hold_seq=made.seq, credits=credits)
        if is_open:
            self.judge(decided, credits, left)

    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        if (found := self.some_hold(data)) is not None:
            self.ask(Void, hold_id=found[0].id, hold_seq=found[0].seq)

    @rule(data=st.data(), credits=st.integers(1, 12))
    def refund(self, data: st.DataObject, credits: int) -> None:
        spent = [entry for entry in self.entries if entry.kind in {"deduct", "capture"}]
        if spent:
            entry = data.draw(st.sampled_from(spent))
            self.ask(Refund, entry_id=entry.id, entry_seq=entry.seq, credits=credits)

    @rule(limit=own_limits)
    def set_own(self, limit: Limit) -> None:
        assert isinstance(self.ask(SetLimit, limit=limit), Moved)
        self.own[limit.id] = limit

    @rule(limit_id=st.sampled_from(["a", "b"]))
    def drop_own(self, limit_id: str) -> None:
        assert isinstance(self.ask(DropLimit, limit_id=limit_id), Moved) == (self.own.pop(limit_id, None) is not None)

    @invariant()
    def no_limit_that_stays_is_ever_passed(self) -> None:
        for limit in (*BOOK[None], *BOOK["pro"]):
            assert self.used(limit) <= limit.credits, limit

    @invariant()
    def what_is_kept_comes_back_and_the_audit_agrees(self) -> None:
        account = self.account
        assert parse(json.loads(render(account.open))) == account.open
        assert {limit.id: limit for limit in in_force(account, {})} == self.own
        audit = UserAudit("u", () if account.open is None else account.open.meters)
        for entry in self.entries:
            audit.follow(entry)
        finding = audit.close(
            AccountSnapshot("u", account.seq, account.posted, account.held, account.head, account.posted, account.open)
        )
        assert finding is None, finding


TestLimits = Limits.TestCase
TestLimits.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def decided_on(account: Account, operation: Any, book: LimitBook, now_ms: int = START) -> tuple[Account, Any]:
    unit: Unit[None] = Unit(account, Facts(limits=book), now_ms)
    unit.meter([Meter(*query.counts, query.start_ms, 0) for query in unread(account, book, (), now_ms)])
    unit.add(None, operation)
    return unit.seal(), unit.decided[0][1]


def test_the_limit_that_resets_last_says_no() -> None:
    book: LimitBook = {None: (Limit("day", 5, "day"), Limit("month", 7, "month"), Limit("wide", 1_000, "month"))}
    account = Account.new("u")._replace(posted=100)
    account, entry = decided_on(account, Deduct("k1", "a", "CHAT", 4), book)
    assert isinstance(entry, Entry)
    assert entry.effects is None, "a plain entry stays plain under limits"
    _, refused = decided_on(account, Deduct("k2", "a", "CHAT", 2), book)
    assert refused.refusal.facts["limitId"] == "day"
    _, refused = decided_on(account, Deduct("k3", "a", "CHAT", 4), book)
    assert refused.refusal.facts == {
        "limitId": "month", "limitScope": "user", "creditsRequired": 4, "creditsLeft": 3,
        "resetsAt": "2026-12-01T00:00:00.000Z",
    }  # fmt: skip
    _, refused = decided_on(account, Deduct("k4", "a", "CHAT", 97), book)
    assert isinstance(refused.refusal, InsufficientCredits), "what is not there is told first"


def test_a_clock_that_is_behind_counts_into_the_window_that_has_begun() -> None:
    midnight = span_at(START, "day", "UTC").end_ms
    book: LimitBook = {None: (Limit("day", 5, "day"),)}
    account, _ = decided_on(Account.new("u")._replace(posted=100), Deduct("k1", "a", "CHAT", 3), book, midnight + 1)
    account, entry = decided_on(account, Deduct("k2", "a", "CHAT", 2), book, midnight - 1_000)
    assert isinstance(entry, Entry)
    assert account.open is not None
    assert [meter.spent for meter in account.open.meters] == [5]
    _, refused = decided_on(account, Deduct("k3", "a", "CHAT", 1), book, midnight + 2)
    assert isinstance(refused.refusal, SpendLimitExceeded)


def test_an_account_without_limits_keeps_no_meters() -> None:
    account = Account.new("u", "free")._replace(posted=100)
    assert not is_limited(account, {})
    other: LimitBook = {"pro": BOOK["pro"]}
    after, entry = decided_on(account, Deduct("k1", "a", "CHAT", 4), other)
    assert isinstance(entry, Entry)
    assert after.open is None
    counted, _ = decided_on(account, Deduct("k1", "a", "CHAT", 4), {None: (Limit("day", 5, "day"),)})
    assert counted.open is not None
    gone, _ = decided_on(counted, Deduct("k2", "a", "CHAT", 1), {}, START + 86_400_000)
    assert gone.open is None, "meters that no limit needs go when their window is over"


def test_own_limits_are_bounded() -> None:
    account = Account.new("u")
    for number in range(LIMITS_MAX):
        account, decided = decided_on(account, SetLimit("a", Limit(f"l{number}", 5, "day")), {})
        assert isinstance(decided, Moved)
    _, refused = decided_on(account, SetLimit("a", Limit("one more", 5, "day")), {})
    assert isinstance(refused.refusal, TooManyLimits)
    account, decided = decided_on(account, SetLimit("a", Limit("l3", 6, "day")), {})
    assert isinstance(decided, Moved), "one that is there can be changed"
    _, refused = decided_on(account, DropLimit("a", "other"), {})
    assert isinstance(refused.refusal, LimitNotFound)


@pytest.mark.parametrize("spent", [0, 3, 4, 6])
def test_a_meter_that_says_something_else_is_found(spent: int) -> None:
    book: LimitBook = {None: (Limit("day", 50, "day"),)}
    account, entry = decided_on(Account.new("u"), Grant("k0", "a", 20, "topup"), {})
    entries = [entry]
    account, entry = decided_on(account, Deduct("k1", "a", "CHAT", 4), book)
    entries.append(entry)
    assert account.open is not None
    wrong = account.open._replace(meters=tuple([meter._replace(spent=spent) for meter in account.open.meters]))
    audit = UserAudit("u", wrong.meters)
    for each in entries:
        audit.follow(each)
    finding = audit.close(AccountSnapshot("u", account.seq, 16, 0, account.head, 16, wrong))
    assert (finding is None) == (spent == 4)


def test_a_limit_that_was_lowered_stops_no_capture_of_what_is_held() -> None:
    wide: LimitBook = {None: (Limit("day", 50, "day"),)}
    account, hold = decided_on(Account.new("u")._replace(posted=100), Hold("k1", "a", "CHAT", 30), wide)
    narrow: LimitBook = {None: (Limit("day", 5, "day"),)}
    _, captured = decided_on(account, Capture("k2", "a", hold.id, hold.seq, 20), narrow)
    assert isinstance(captured, Entry)
    _, capped = decided_on(account, Capture("k2", "a", hold.id, hold.seq, 40, overage="cap"), narrow)
    assert (capped.credits, effects_of(capped)["uncollected"], effects_of(capped)["limited"]) == (-30, 10, True)
    _, refused = decided_on(account, Capture("k2", "a", hold.id, hold.seq, 40, overage="allow"), narrow)
    assert isinstance(refused.refusal, SpendLimitExceeded)
