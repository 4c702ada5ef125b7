"""The rules, each by an example."""

from types import MappingProxyType

import pytest

from pedro_ledger.ledger.account import CREDITS_MAX, Account, Original
from pedro_ledger.ledger.decide import Facts, decide
from pedro_ledger.ledger.entries import Entry, Receipt
from pedro_ledger.ledger.errors import (
    AccountFull,
    BalanceLimitExceeded,
    EntryNotFound,
    EntryNotRefundable,
    InsufficientCredits,
    NoPrice,
    RefundExceedsEntry,
)
from pedro_ledger.ledger.ids import SEQ_MAX, account_tag, entry_id, parse_entry_id
from pedro_ledger.ledger.operations import Adjustment, Deduct, Grant, Opening, Operation, Recovery, Refund, fingerprint
from pedro_ledger.ledger.prices import PriceBook, PriceList, costs
from pedro_ledger.ledger.units import Applied, Refused, Replayed, Stale, Stored, Unit

NOW = 1_795_000_000_000


def account(posted: int = 100, held: int = 0, seq: int = 5) -> Account:
    return Account("u1", account_tag("u1"), "pro", 9, seq, posted, held, bytes(32))


def applied(before: Account, operation: Operation, facts: Facts | None = None) -> tuple[Account, Entry]:
    decision = decide(before, operation, NOW, facts or Facts())
    assert isinstance(decision, tuple)
    return decision


def test_a_deduct_takes_credits_and_leaves_an_entry() -> None:
    after, entry = applied(account(), Deduct("k", "key1", "AI_TEXT_CHAT", 30, '{"a":1}'))
    assert (after.posted, after.seq, after.head) == (70, 6, entry.hash)
    assert (entry.kind, entry.credits, entry.balance_after, entry.key, entry.actor) == ("deduct", -30, 70, "k", "key1")
    assert (entry.details, entry.price, entry.at_ms) == ('{"a":1}', None, NOW)


def test_held_credits_cannot_be_spent() -> None:
    assert applied(account(100, held=60), Deduct("k", "a", "X", 40))[0].posted == 60
    refusal = decide(account(100, held=60), Deduct("k", "a", "X", 41), NOW, Facts())
    assert isinstance(refusal, InsufficientCredits)
    assert refusal.facts == {"creditsRequired": 41, "creditsAvailable": 40}
    assert isinstance(decide(account(100, held=60), Adjustment("k", "a", -41, "x"), NOW, Facts()), InsufficientCredits)


@pytest.mark.parametrize(("asked", "taken"), [(30, 30), (40, 40), (41, 40), (CREDITS_MAX, 40)])
def test_a_recovery_takes_what_is_available_and_no_more(asked: int, taken: int) -> None:
    after, entry = applied(account(100, held=60), Recovery("k", "a", asked, "plan"))
    assert (entry.kind, entry.credits, entry.source, after.posted) == ("adjustment", -taken, "plan", 100 - taken)


def test_the_plans_price_comes_before_the_settings() -> None:
    book = PriceBook(
        PriceList("settings@1", MappingProxyType({"X": 10, "Y": 3})),
        MappingProxyType({"pro": PriceList("plan:p@2", MappingProxyType({"X": 4, "FREE": 0}))}),
    )
    facts = Facts(book)
    assert [applied(account(), Deduct("k", "a", name), facts)[1][4:5] for name in ("X", "Y", "FREE")] == [
        (-4,),
        (-3,),
        (0,),
    ]
    assert applied(account(), Deduct("k", "a", "X"), facts)[1].price == "plan:p@2"
    assert applied(account(), Deduct("k", "a", "Y"), facts)[1].price == "settings@1"
    assert isinstance(decide(account(), Deduct("k", "a", "Z"), NOW, facts), NoPrice)


def test_only_whole_costs_that_are_not_negative_are_prices() -> None:
    assert dict(
        costs({"a": 1, "b": True, "c": 1.0, "d": "1", "e": -1, "f": 2**31, "g": 0, "h": None, "i": CREDITS_MAX})
    ) == {
        "a": 1,
        "g": 0,
        "i": CREDITS_MAX,
    }
    assert dict(costs(None)) == dict(costs([1])) == dict(costs("x")) == {}


def original(used: int = 30, refunded: int = 0, kind: str = "deduct") -> Facts:
    return Facts(originals={3: Original(3, entry_id(1, account_tag("u1"), 3), kind, "X", used, refunded)})


def refund(credits: int | None = None, seq: int = 3) -> Refund:
    return Refund("k", "a", entry_id(1, account_tag("u1"), 3), seq, None, credits)


def test_a_linked_refund_gives_back_what_is_left_by_default() -> None:
    _, entry = applied(account(), refund(), original(30, 10))
    assert (entry.credits, entry.related_seq, entry.operation_type) == (20, 3, "X")
    assert applied(account(), refund(5), original(30, 10))[1].credits == 5


def test_a_linked_refund_never_passes_its_entry() -> None:
    for facts, asked in ((original(30, 10), 21), (original(30, 30), None), (original(30, 30), 1)):
        assert isinstance(decide(account(), refund(asked), NOW, facts), RefundExceedsEntry)
    assert isinstance(decide(account(), refund(), NOW, original(kind="grant")), EntryNotRefundable)
    assert isinstance(decide(account(), refund(), NOW, Facts(originals={3: None})), EntryNotFound)
    other = Refund("k", "a", entry_id(2, account_tag("u1"), 3), 3)
    assert isinstance(decide(account(), other, NOW, original()), EntryNotFound)


def test_a_balance_has_a_limit_and_so_has_an_account() -> None:
    assert applied(account(CREDITS_MAX - 1), Grant("k", "a", 1, "promo"))[0].posted == CREDITS_MAX
    assert isinstance(decide(account(CREDITS_MAX), Grant("k", "a", 1, "promo"), NOW, Facts()), BalanceLimitExceeded)
    assert isinstance(decide(account(seq=SEQ_MAX), Grant("k", "a", 1, "promo"), NOW, Facts()), AccountFull)


def test_only_a_first_entry_opens_an_account() -> None:
    after, entry = applied(Account.new("u1"), Opening("k", "a", 70))
    assert (after.posted, entry.kind, entry.credits) == (70, "opening", 70)
    with pytest.raises(AssertionError):
        decide(account(), Opening("k", "a", 70), NOW, Facts())


def test_an_entry_id_names_its_account_and_place_and_sorts_by_time() -> None:
    made = entry_id(NOW, account_tag("u1"), 123_456)
    assert len(made) == 26
    for seq in (1, 123_456, 2**25 + 7, SEQ_MAX):
        assert parse_entry_id(entry_id(NOW, account_tag("u1"), seq)) == (account_tag("u1"), seq)
    assert entry_id(NOW, account_tag("u1"), 5) < entry_id(NOW + 1, account_tag("u2"), 1)
    for text in ("", "x" * 26, made[:-1], made + "0", made.lower(), made[:20] + "000000"):
        assert parse_entry_id(text) is None


def test_a_fingerprint_is_of_what_is_asked_and_of_nothing_else() -> None:
    asked = Deduct("k1", "a", "X", 1, None)
    assert fingerprint(asked) == fingerprint(asked._replace(key="k2", actor="b"))
    others = [asked._replace(credits=2), asked._replace(credits=None), asked._replace(operation_type="Y"),
              asked._replace(details="{}"), Grant("k1", "a", 1, "promo"), Adjustment("k1", "a", 1, "promo")]  # fmt: skip
    assert len({fingerprint(each) for each in [asked, *others]}) == 7


def test_a_unit_is_settled_as_applied_only_where_the_account_stands_as_it_left_it() -> None:
    account = Account.new("u")._replace(posted=5)
    unit: Unit[None] = Unit(account, Facts(), NOW)
    unit.add(None, Deduct("k", "test", "X", 9))
    after = unit.seal()
    _, refused = unit.decided[0]
    assert isinstance(refused, Refused)
    answers = {"k": Stored(refused.fingerprint, None, refused.refusal)}
    assert unit.settled(after, answers) == Applied()
    assert unit.settled(account, {}) == Stale(account)
    moved = after._replace(revision=7)
    assert unit.settled(moved, answers) == Replayed(moved, answers)
    other = {"k": Stored(b"another request ", None, refused.refusal)}
    assert unit.settled(after, other) == Replayed(after, other)


def test_a_unit_is_settled_as_applied_only_where_each_of_its_entries_is_there() -> None:
    unit: Unit[None] = Unit(Account.new("u"), Facts(), NOW)
    unit.add(None, Grant("grant", "test", 5, "promo"))
    unit.add(None, Deduct("free", "test", "nothing"))
    after = unit.seal()
    (_, entry), (_, refused) = unit.decided
    assert isinstance(entry, Entry)
    assert isinstance(refused, Refused)
    assert not refused.refusal.remembered
    there = Stored(entry.fingerprint, entry, None)
    assert unit.settled(after, {"grant": there}) == Applied()
    for answers in (
        {"grant": there, "free": there},
        {"free": there},
        {"grant": Stored(entry.fingerprint, entry._replace(hash=bytes(32)), None)},
        {"grant": Stored(entry.fingerprint, None, refused.refusal)},
    ):
        assert unit.settled(after, answers) == Replayed(after, answers)


def test_a_receipt_says_what_its_entry_says() -> None:
    after, entry = applied(account(30), Deduct("k", "a", "X", 7))
    receipt = Receipt.of("u1", entry)
    assert receipt == (entry.id, "u1", "deduct", "X", 7, 23, 0, after.seq, NOW, None, None, None)
