"""Periods of a plan: the next one's grant ends the one before, and what is left rolls over."""

import pytest

from pedro_ledger.ledger.account import Account, Original
from pedro_ledger.ledger.decide import Facts
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.errors import TooManyOpenGrants
from pedro_ledger.ledger.open_items import Lot, Rollover
from pedro_ledger.ledger.operations import (
    Capture,
    Closes,
    Deduct,
    Grant,
    Hold,
    Keyless,
    Operation,
    Recovery,
    Refund,
    Touch,
    Void,
)
from pedro_ledger.ledger.originals import effects_of, original_of
from pedro_ledger.ledger.units import Refused, Unit
from tests.support.audits import assert_audited

DAY = 86_400_000
START = 1_795_000_000_000
PERIOD = 30 * DAY
GRACE = 3 * DAY
NEXT_PERIOD = Rollover(50, None, 1, None)


class Ledger:
    """One user's account and entries, decided one unit an operation."""

    def __init__(self) -> None:
        self.account = Account.new("u")
        self.entries: list[Entry] = []

    def ask(self, operation: Operation | Keyless, now_ms: int) -> Entry | Refused | None:
        originals = {}
        named = getattr(operation, "entry_seq", None) or getattr(operation, "hold_seq", None)
        if named is not None:
            originals[named] = self.loaded(named)
        unit: Unit[None] = Unit(self.account, Facts(originals=originals), now_ms)
        unit.add(None, operation)
        self.account = unit.seal()
        ((_, decided),) = unit.decided
        entry = decided if isinstance(decided, Entry) else None
        self.entries += sorted([*unit.booked, *([entry] if entry else [])], key=lambda each: each.seq)
        return decided if isinstance(decided, Entry | Refused) else None

    def loaded(self, seq: int) -> Original:
        """An earlier entry as the store loads it."""
        entry = self.entries[seq - 1]
        lots = {lot for lot, _ in effects_of(entry).get("lots", ())}
        about = [
            each for each in self.entries
            if each.seq in lots or (each.kind == "expiry" and each.related_seq in lots)
        ]  # fmt: skip
        return original_of(entry, [each for each in self.entries if each.related_seq == seq], about)

    def period(
        self, number: int, now_ms: int, credits: int = 100, *, grace_ms: int = GRACE, scheduled: bool = False,
        rollover: Rollover | None = NEXT_PERIOD, closes: int | None = None,
    ) -> Entry:  # fmt: skip
        """The grant of a period; `closes` is the entry of the one before."""
        ends_ms = START + (number + 1) * PERIOD
        made = self.ask(
            Grant(
                f"§plan:{number}", "webhook:asaas", credits, "plan", expires_at_ms=ends_ms + grace_ms, rollover=rollover,
                closes=None if closes is None else Closes(closes, ends_ms - PERIOD),
                next_ends_ms=ends_ms + PERIOD if scheduled else None,
            ),
            now_ms,
        )  # fmt: skip
        assert isinstance(made, Entry), made
        self.check()
        return made

    def lots(self) -> list[Lot]:
        return [] if self.account.open is None else list(self.account.open.lots)

    def told(self, since: int = 0) -> list[tuple[str, int, str | None, str]]:
        return [(each.kind, each.credits, each.source, each.key) for each in self.entries[since:]]

    def check(self) -> None:
        """The audit recomputes every entry, and comes to the same open state."""
        assert_audited(self.account, self.entries)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def test_a_renewal_after_the_end_closes_the_period_in_its_own_unit(ledger: Ledger) -> None:
    first = ledger.period(0, START)
    ledger.ask(Deduct("d", "a", "X", 39), START + DAY)
    late = START + PERIOD + DAY
    assert ledger.ask(Touch("sweeper"), late) is None
    assert ledger.account.posted == 61, "nobody stands at zero between two periods"
    second = ledger.period(1, late, closes=first.seq)
    assert ledger.told(2) == [
        ("grant", 100, "plan", "§plan:1"),
        ("expiry", -61, None, f"§expire:{first.seq}"),
        ("grant", 30, "rollover", f"§rollover:{first.seq}"),
    ]
    assert effects_of(second)["until"] == [first.seq, START + PERIOD]
    assert ledger.entries[3].expires_at_ms == START + PERIOD, "it ended with its period, not with the grace"
    left, fresh = ledger.lots()
    assert (left.free, left.is_rollover, left.expires_ms) == (30, True, fresh.expires_ms)
    assert (fresh.seq, fresh.free) == (second.seq, 100)
    ledger.check()


def test_a_renewal_before_the_end_pulls_the_end_to_the_periods(ledger: Ledger) -> None:
    first = ledger.period(0, START)
    second = ledger.period(1, START + PERIOD - 5 * DAY, closes=first.seq)
    assert [(lot.seq, lot.expires_ms) for lot in ledger.lots()] == [
        (first.seq, START + PERIOD), (second.seq, START + 2 * PERIOD + GRACE),
    ]  # fmt: skip
    ledger.ask(Deduct("d", "a", "X", 60), START + PERIOD - 1)
    ledger.ask(Touch("sweeper"), START + PERIOD)
    assert ledger.told(3) == [
        ("expiry", -40, None, f"§expire:{first.seq}"), ("grant", 20, "rollover", f"§rollover:{first.seq}"),
    ]  # fmt: skip
    assert [lot.free for lot in ledger.lots()] == [20, 100], "what was rolled over burns first"
    ledger.check()


def test_a_period_that_nobody_renews_ends_after_the_grace_and_rolls_nothing_over(ledger: Ledger) -> None:
    first = ledger.period(0, START)
    ledger.ask(Touch("sweeper"), START + PERIOD + GRACE - 1)
    assert ledger.account.posted == 100
    ledger.ask(Touch("sweeper"), START + PERIOD + GRACE)
    assert ledger.told(1) == [("expiry", -100, None, f"§expire:{first.seq}")]
    ledger.period(1, START + PERIOD + 4 * DAY, closes=first.seq)
    assert ledger.told(2) == [("grant", 100, "plan", "§plan:1")]
    assert [lot.free for lot in ledger.lots()] == [100]


@pytest.mark.parametrize("scheduled", [False, True])
@pytest.mark.parametrize(("times", "left"), [(1, [0, 50, 50, 50]), (2, [0, 50, 75, 75]), (3, [0, 50, 75, 87])])
def test_what_rolls_over_rolls_on_as_often_as_its_rule_says(
    ledger: Ledger, *, times: int, left: list[int], scheduled: bool
) -> None:
    """Half of 100, then half of (100 and what is left of before): each lot rounds down alone."""
    previous = None
    for number, expected in enumerate(left):
        now = START + number * PERIOD
        grace = 0 if scheduled else GRACE
        if scheduled:
            ledger.ask(Touch("sweeper"), now)  # the loop may come before or after
        made = ledger.period(
            number, now, closes=previous, grace_ms=grace, rollover=Rollover(50, None, times, None), scheduled=scheduled
        )
        previous = made.seq
        heirs = [lot for lot in ledger.lots() if lot.is_rollover]
        assert sum(lot.free for lot in heirs) == expected, (number, heirs)
        assert {lot.expires_ms for lot in heirs} <= {now + PERIOD + grace}
        ledger.check()


def test_the_cap_counts_all_that_was_rolled_over(ledger: Ledger) -> None:
    rule = Rollover(100, 120, 12, None)
    first = ledger.period(0, START, rollover=rule)
    second = ledger.period(1, START + PERIOD, closes=first.seq, rollover=rule)
    assert ledger.account.posted == 200
    third = ledger.period(2, START + 2 * PERIOD, closes=second.seq, rollover=rule)
    assert ledger.account.posted == 220
    ledger.period(3, START + 3 * PERIOD, closes=third.seq, rollover=rule)
    assert ledger.account.posted == 220
    ledger.check()


@pytest.mark.parametrize("scheduled", [False, True])
def test_what_a_hold_pins_over_the_end_follows_when_it_comes_back(ledger: Ledger, *, scheduled: bool) -> None:
    grace = 0 if scheduled else GRACE
    first = ledger.period(0, START, rollover=Rollover(100, None, 1, None), grace_ms=grace, scheduled=scheduled)
    held = ledger.ask(Hold("h", "a", "X", 70, expires_in_s=86_400), START + PERIOD - DAY // 2)
    assert isinstance(held, Entry)
    ledger.period(1, START + PERIOD, closes=first.seq, grace_ms=grace, scheduled=scheduled)
    ledger.ask(Capture("c", "a", held.id, held.seq, 20, final=False), START + PERIOD + 1)
    assert ledger.told()[-1] == ("capture", -20, None, "c")
    ledger.ask(Void("v", "a", held.id, held.seq), START + PERIOD + 2)
    heirs = [(lot.free, lot.expires_ms) for lot in ledger.lots() if lot.is_rollover]
    assert heirs == [(30, START + 2 * PERIOD + grace), (50, START + 2 * PERIOD + grace)]
    ledger.check()
    assert ledger.account.posted == 180


def test_a_schedules_end_rolls_over_whoever_books_it(ledger: Ledger) -> None:
    first = ledger.period(0, START, grace_ms=0, scheduled=True)
    ledger.ask(Deduct("d", "a", "X", 10), START + PERIOD + 5)
    assert ledger.told(1)[:2] == [
        ("expiry", -100, None, f"§expire:{first.seq}"), ("grant", 50, "rollover", f"§rollover:{first.seq}"),
    ]  # fmt: skip
    second = ledger.period(1, START + PERIOD + 7, closes=first.seq, grace_ms=0, scheduled=True)
    assert [(lot.free, lot.follows, lot.next_ms) for lot in ledger.lots()] == [
        (40, second.seq, START + 3 * PERIOD), (100, 0, START + 3 * PERIOD),
    ]  # fmt: skip


def test_a_missed_period_ends_what_waited_for_it(ledger: Ledger) -> None:
    first = ledger.period(0, START, grace_ms=0, scheduled=True)
    ledger.period(3, START + 3 * PERIOD + DAY, closes=first.seq, grace_ms=0, scheduled=True)
    assert [credits for _, credits, _, _ in ledger.told(1)] == [-100, 50, -50, 100]


def test_the_sixty_fifth_lot_is_refused_unless_the_renewal_ends_one(ledger: Ledger) -> None:
    first = ledger.period(0, START)
    for number in range(63):
        ledger.ask(Grant(f"g{number}", "a", 1, "promo", expires_at_ms=START + 400 * DAY), START)
    refused = ledger.ask(Grant("one more", "a", 1, "promo", expires_at_ms=START + 400 * DAY), START)
    assert isinstance(refused, Refused)
    assert isinstance(refused.refusal, TooManyOpenGrants)
    ledger.period(1, START + PERIOD, closes=first.seq)
    assert ledger.account.posted == 63 + 100 + 50


def test_a_recovery_takes_what_is_free_of_its_grant_and_nothing_else(ledger: Ledger) -> None:
    ledger.ask(Grant("base", "a", 500, "topup"), START)
    first = ledger.period(0, START)
    ledger.ask(Hold("h", "a", "X", 30, expires_in_s=86_400), START + 1)
    ledger.ask(Deduct("d", "a", "X", 20), START + 2)
    taken = ledger.ask(Recovery("r", "a", 100, "plan", grant_seq=first.seq), START + 3)
    assert isinstance(taken, Entry)
    assert (taken.credits, taken.related_seq, effects_of(taken)) == (-50, first.seq, {"lots": [[first.seq, -50]]})
    again = ledger.ask(Recovery("r2", "a", 100, "plan", grant_seq=first.seq), START + 4)
    assert isinstance(again, Entry)
    assert (again.credits, again.effects) == (0, None)
    assert ledger.account.posted == 530
    ledger.check()


@pytest.mark.parametrize("is_booked", [False, True])
def test_a_refund_revives_no_period_that_its_renewal_ended(ledger: Ledger, *, is_booked: bool) -> None:
    """Its grant says that it lasts for the grace; the renewal ended it before, and once."""
    first = ledger.period(0, START, rollover=None)
    spent = ledger.ask(Deduct("d", "a", "X", 40), START + DAY)
    assert isinstance(spent, Entry)
    ledger.period(1, START + PERIOD - DAY, closes=first.seq)
    if is_booked:
        ledger.ask(Touch("sweeper"), START + PERIOD)
    refund = ledger.ask(Refund("r", "a", spent.id, spent.seq), START + PERIOD + DAY)
    assert isinstance(refund, Entry)
    assert effects_of(refund)["lots"] == [[refund.seq, 40]], "it is a lot of the refund's own"
    ledger.check()
    ledger.ask(Touch("sweeper"), START + PERIOD + 10 * DAY)
    ledger.check()
    keys = [entry.key for entry in ledger.entries]
    assert len(keys) == len(set(keys)), keys
