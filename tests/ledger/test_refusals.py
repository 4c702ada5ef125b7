"""What each refusal tells its caller: the sentence, and the facts that a program reads."""

import pytest

from pedro_ledger.ledger.account import CREDITS_MAX, Account, Original
from pedro_ledger.ledger.decide import Facts, decide
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.errors import Refusal
from pedro_ledger.ledger.ids import SEQ_MAX, account_tag, entry_id
from pedro_ledger.ledger.operations import Adjustment, Deduct, Grant, Operation, Refund
from pedro_ledger.ledger.units import Unit

NOW = 1_795_000_000_000
ENTRY = entry_id(1, account_tag("u1"), 3)


def account(posted: int = 30, seq: int = 7) -> Account:
    return Account.new("u1", "pro")._replace(posted=posted, seq=seq)


def original(kind: str = "deduct", refunded: int = 25, used: int = 30) -> Facts:
    return Facts(originals={3: Original(3, ENTRY, kind, "X", used, refunded)})


REFUSALS: list[tuple[Operation, Facts, Account, str, dict[str, object]]] = [
    (Deduct("k", "a", "X", 31), Facts(), account(), "The operation needs 31 credits; 30 are available.",
     {"creditsRequired": 31, "creditsAvailable": 30}),
    (Deduct("k", "a", "X"), Facts(), account(),
     "No price is set for X: send credits, or set it in AdminSettings.featureCosts.", {"operationType": "X"}),
    (Adjustment("k", "a", -31, "correction"), Facts(), account(), "The operation needs 31 credits; 30 are available.",
     {"creditsRequired": 31, "creditsAvailable": 30}),
    (Grant("k", "a", 1, "promo"), Facts(), account(CREDITS_MAX), "The balance would be 2147483648 credits; at most 2147483647 fit.",
     {"creditsMax": CREDITS_MAX}),
    (Grant("k", "a", 1, "promo"), Facts(), account(seq=SEQ_MAX), f"The account has {SEQ_MAX} entries and cannot take more.", {}),
    (Refund("k", "a", ENTRY, 3), Facts(), account(), f"The user has no entry {ENTRY}.", {"entryId": ENTRY}),
    (Refund("k", "a", ENTRY, 3), original("grant"), account(), f"Entry {ENTRY} is a grant; only a deduct can be refunded.",
     {"entryId": ENTRY, "type": "grant"}),
    (Refund("k", "a", ENTRY, 3, None, 6), original(), account(), f"Entry {ENTRY} used 30 credits, of which 5 are left to refund.",
     {"entryId": ENTRY, "creditsUsed": 30, "creditsRefundable": 5}),
    (Refund("k", "a", ENTRY, 3), original(refunded=1, used=1), account(), f"Entry {ENTRY} used 1 credits, of which 0 are left to refund.",
     {"entryId": ENTRY, "creditsUsed": 1, "creditsRefundable": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "facts", "before", "detail", "told"), REFUSALS)
def test_a_refusal_tells_why(
    operation: Operation, facts: Facts, before: Account, detail: str, told: dict[str, object]
) -> None:
    refusal = decide(before, operation, NOW, facts)
    assert isinstance(refusal, Refusal)
    assert (refusal.detail, refusal.facts) == (detail, told)


def applied(operation: Operation, before: Account, facts: Facts | None = None) -> tuple[Account, Entry]:
    decision = decide(before, operation, NOW, facts or Facts())
    assert isinstance(decision, tuple), decision
    return decision


def test_what_is_just_within_a_limit_is_taken() -> None:
    assert applied(Deduct("k", "a", "X", 30), account())[0].posted == 0
    assert applied(Adjustment("k", "a", -30, "correction"), account())[0].posted == 0
    assert applied(Grant("k", "a", 1, "promo"), account(seq=SEQ_MAX - 1))[0].seq == SEQ_MAX
    free = original(used=0, refunded=0)
    assert applied(Refund("k", "a", ENTRY, 3), account(), free)[1].credits == 0


def test_a_refund_without_an_entry_and_an_adjustment_say_what_they_are() -> None:
    refund = applied(Refund("k", "a", None, None, "X", 4), account())[1]
    assert (refund.kind, refund.credits, refund.operation_type, refund.related_seq) == ("refund", 4, "X", None)
    adjustment = applied(Adjustment("k", "a", -4, "correction"), account())[1]
    assert (adjustment.kind, adjustment.credits, adjustment.source) == ("adjustment", -4, "correction")


def test_a_unit_leaves_the_plan_as_it_was_and_its_revision_where_nothing_is_written() -> None:
    new = Account.new("u1", "pro")
    assert (new.plan_id, new.revision, new.seq) == ("pro", 0, 0)
    unit: Unit[None] = Unit(account(), Facts(), NOW)
    unit.add(None, Deduct("k", "a", "X"))
    assert unit.seal() == account()
    unit.add(None, Deduct("k2", "a", "X", 1))
    assert (unit.seal().plan_id, unit.after.revision) == ("pro", 1)
