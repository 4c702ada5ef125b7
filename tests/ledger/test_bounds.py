"""Each limit on lots and holds: one below, at, and one above; and properties P4, P7 and P10."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pedro_ledger.api.schemas.requests import HoldBody
from pedro_ledger.ledger.account import CREDITS_MAX, Account
from pedro_ledger.ledger.decide import Facts
from pedro_ledger.ledger.due import as_of
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.open_items import HOLDS_MAX, LOTS_MAX, Rollover
from pedro_ledger.ledger.operations import Capture, Deduct, Extend, Grant, Heartbeat, Hold, Refund, Touch, Void
from pedro_ledger.ledger.units import Refused, Unit
from tests.ledger.test_renewals import DAY, START, Ledger


def code(decided: object) -> str | None:
    return decided.refusal.code if isinstance(decided, Refused) else None


@pytest.mark.parametrize(("lots", "refused"), [(63, None), (64, None), (65, "too_many_open_grants")])
def test_open_lots(lots: int, refused: str | None) -> None:
    ledger = Ledger()
    decided = [ledger.ask(Grant(f"g{n}", "a", 1, "promo", expires_in_s=60 + n), START) for n in range(lots)]
    assert LOTS_MAX == 64
    assert [code(each) for each in decided] == [None] * min(lots, 64) + [refused] * (lots - 64)


@pytest.mark.parametrize(("holds", "refused"), [(127, None), (128, None), (129, "too_many_open_holds")])
def test_open_holds(holds: int, refused: str | None) -> None:
    ledger = Ledger()
    ledger.ask(Grant("g", "a", 1000, "topup"), START)
    decided = [ledger.ask(Hold(f"h{n}", "a", "X", 1), START) for n in range(holds)]
    assert HOLDS_MAX == 128
    assert [code(each) for each in decided] == [None] * min(holds, 128) + [refused] * (holds - 128)


@pytest.mark.parametrize("seconds", [4, 5, 86_400, 86_401])
def test_how_long_a_hold_may_be_asked_for(seconds: int) -> None:
    asked = {"operationType": "X", "credits": 1, "expiresIn": seconds}
    if 5 <= seconds <= 86_400:
        assert HoldBody.model_validate(asked).expiresIn == seconds
    else:
        with pytest.raises(ValidationError):
            HoldBody.model_validate(asked)


@pytest.mark.parametrize(("after_s", "ends_s"), [(0, 86_400 - 1), (1, 86_400), (2, 86_400)])
def test_a_hold_ends_a_day_after_its_making_however_often_it_is_extended(after_s: int, ends_s: int) -> None:
    ledger = Ledger()
    ledger.ask(Grant("g", "a", 10, "topup"), START)
    hold = ledger.ask(Hold("h", "a", "X", 1), START)
    assert isinstance(hold, Entry)
    longer = ledger.ask(Extend("e", "a", hold.id, hold.seq, 0, 86_400 - 1), START + after_s * 1000)
    assert isinstance(longer, Entry)
    assert longer.expires_at_ms == START + ends_s * 1000


@pytest.mark.parametrize(("more", "refused"), [(-1, None), (0, None), (1, "balance_limit_exceeded")])
def test_a_balance_with_lots_fits_the_apps_column(more: int, refused: str | None) -> None:
    ledger = Ledger()
    ledger.ask(Grant("base", "a", 1000, "topup"), START)
    decided = ledger.ask(Grant("lot", "a", CREDITS_MAX - 1000 + more, "promo", expires_in_s=60), START)
    assert code(decided) == refused


grants = st.lists(
    st.tuples(st.integers(1, 30), st.none() | st.integers(1, 40), st.sampled_from([None, 40, 60]), st.booleans()),
    min_size=1, max_size=6,
)  # fmt: skip


def granted(ledger: Ledger, made: list[tuple[int, int | None, int | None, bool]]) -> None:
    for number, (credits, lasts, priority, rolls) in enumerate(made):
        rule = Rollover(50, 20, 2, 7_000) if rolls and lasts is not None else None
        ledger.ask(
            Grant(f"g{number}", "a", credits, "promo", expires_in_s=lasts, priority=priority, rollover=rule), START
        )


@settings(max_examples=200, deadline=None)
@given(made=grants, parts=st.lists(st.integers(1, 40), max_size=5), spent=st.integers(1, 200))
def test_p4_a_deduct_and_its_full_refund_leave_the_open_state_as_it_was(
    made: list[tuple[int, int | None, int | None, bool]], parts: list[int], spent: int
) -> None:
    ledger = Ledger()
    granted(ledger, made)
    before = ledger.account
    deducted = ledger.ask(Deduct("d", "a", "X", min(spent, before.available)), START + 1)
    assert isinstance(deducted, Entry)
    left = -deducted.credits
    for number, part in enumerate([*parts, left]):
        if credits := min(part, left):
            left -= credits
            assert isinstance(
                ledger.ask(Refund(f"r{number}", "a", deducted.id, deducted.seq, credits=credits), START + 2), Entry
            )
    assert (ledger.account.open, ledger.account.posted) == (before.open, before.posted)
    ledger.check()


steps = st.lists(st.tuples(st.integers(0, 15_000), st.sampled_from("dhvcg"), st.integers(1, 20)), max_size=8)


def told(
    made: list[tuple[int, int | None, int | None, bool]], asked: list[tuple[int, str, int]], touches: list[int]
) -> object:
    """What the ledger says in the end, but for when things were booked."""
    ledger, now = Ledger(), START
    granted(ledger, made)
    moments = sorted(touches)
    for number, (after, what, credits) in enumerate(asked):
        while moments and moments[0] <= now + after - START:
            ledger.ask(Touch("sweeper"), max(now, START + moments.pop(0)))
        now += after
        holds = [entry for entry in ledger.entries if entry.kind == "hold"]
        if what == "g":
            ledger.ask(Grant(f"s{number}", "a", credits, "promo", expires_in_s=9), now)
        elif what == "d":
            ledger.ask(Deduct(f"s{number}", "a", "X", credits), now)
        elif what == "h":
            ledger.ask(Hold(f"s{number}", "a", "X", credits, expires_in_s=6, on_lapse="capture_all"), now)
        elif holds and what == "v":
            ledger.ask(Void(f"s{number}", "a", holds[-1].id, holds[-1].seq), now)
        elif holds:
            ledger.ask(Capture(f"s{number}", "a", holds[-1].id, holds[-1].seq, credits, overage="cap"), now)
    ledger.ask(Touch("sweeper"), now + DAY)
    ledger.check()
    account = ledger.account
    entries = [
        (each.seq, each.kind, each.credits, each.held_after, each.key, each.related_seq, each.expires_at_ms, each.effects)
        for each in ledger.entries
    ]  # fmt: skip
    return account.posted, account.held, account.open, entries


@settings(max_examples=200, deadline=None)
@given(made=grants, asked=steps, touches=st.lists(st.integers(0, 90_000), max_size=12))
def test_p7_booking_late_is_booking_at_the_moment(
    made: list[tuple[int, int | None, int | None, bool]], asked: list[tuple[int, str, int]], touches: list[int]
) -> None:
    every_moment = list(range(0, 130_000, 1_000))
    assert told(made, asked, []) == told(made, asked, touches) == told(made, asked, every_moment)


@settings(max_examples=100, deadline=None)
@given(used=st.lists(st.integers(0, 9), min_size=3, max_size=3))
def test_p10_heartbeats_and_touches_commute_and_repeat(used: list[int]) -> None:
    ledger = Ledger()
    ledger.ask(Grant("g", "a", 50, "promo", expires_in_s=600), START)
    holds = [ledger.ask(Hold(f"h{n}", "a", "X", 9, lease_s=60), START) for n in range(2)]
    beats = [
        Heartbeat("a", hold.id, hold.seq, number) for hold, number in zip((*holds, holds[0]), used, strict=True) if isinstance(hold, Entry)
    ]  # fmt: skip
    found: set[Account] = set()
    for order in permutations([*beats, beats[0], Touch("sweeper")]):
        account = ledger.account
        for operation in order:
            unit: Unit[None] = Unit(account, Facts(), START + 5_000)
            unit.add(None, operation)
            account = unit.seal()
        found.add(account._replace(revision=0))
    assert len(found) == 1
    assert as_of(found.pop(), START + 5_000)[1] == 0
