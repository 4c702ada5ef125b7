"""Token prices (property P13): captures by tokens charge in any number of parts what one capture of
the sum does; a price is additive before it is rounded, and monotone in each count.
"""

from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pedro_ledger.ledger.account import Account, Original
from pedro_ledger.ledger.decide import Facts
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.errors import NoPrice
from pedro_ledger.ledger.operations import Capture, Deduct, Grant, Hold, Operation, fingerprint
from pedro_ledger.ledger.originals import effects_of, original_of
from pedro_ledger.ledger.prices import PriceBook, PriceList, token_prices
from pedro_ledger.ledger.tokens import TokenPrice, Tokens
from pedro_ledger.ledger.units import Refused, Unit
from tests.support.audits import assert_audited

START = 1_795_000_000_000
MINI = {"uncachedInput": 250, "cachedInput": 25, "cacheWrite": 310, "output": 2000, "minimum": 1}
ANY = {"uncachedInput": 500, "output": 4000}
SETTINGS = {"CHAT": 7, "tokenPrices": {"CHAT": {"mini": MINI, "*": ANY}, "OLD": {"mini": {"output": 1}}}}
PLAN = {"tokenPrices": {"CHAT": {"mini": {"uncachedInput": 100, "output": 1000}}}}
BOOK = PriceBook(
    PriceList("settings@1", {"CHAT": 7}, token_prices(SETTINGS)),
    {"pro": PriceList("plan:pro@2", {}, token_prices(PLAN))},
)
counts = st.integers(0, 3_000)
tokens = st.builds(Tokens, counts, counts, counts, counts)
rates = st.integers(0, 5_000)
prices = st.builds(TokenPrice, rates, rates, st.none() | rates, st.none() | rates, st.integers(0, 5))


def summed(parts: list[Tokens]) -> Tokens:
    return Tokens(*[sum(each) for each in zip(*parts, strict=True)])


def exact(price: TokenPrice, of: Tokens) -> int:
    """By the words of the documentation, in fractions."""
    cached = price.uncached_input if price.cached_input is None else price.cached_input
    write = price.uncached_input if price.cache_write is None else price.cache_write
    per_token = (price.uncached_input, cached, write, price.output)
    total = sum(Fraction(count * each, 10**6) for count, each in zip(of, per_token, strict=True))
    return max(price.minimum, ceil(total)) if total else 0


@given(price=prices, parts=st.lists(tokens, min_size=1, max_size=8))
def test_parts_cost_what_their_sum_does(price: TokenPrice, parts: list[Tokens]) -> None:
    assert sum(price.micro(each) for each in parts) == price.micro(summed(parts)), "additive before rounding"
    before = charged = 0
    for each in parts:
        charged += price.part(before, price.micro(each))
        before += price.micro(each)
    assert charged == exact(price, summed(parts))


@given(price=prices, of=tokens, place=st.integers(0, 3), more=st.integers(1, 1000))
def test_more_tokens_never_cost_less(price: TokenPrice, of: Tokens, place: int, more: int) -> None:
    grown = Tokens(*[count + (more if no == place else 0) for no, count in enumerate(of)])
    assert price.credits(price.micro(grown)) >= price.credits(price.micro(of))


class Ledger:
    """One account and its entries."""

    def __init__(self, plan_id: str | None = None) -> None:
        self.account = Account.new("u", plan_id)._replace(posted=0)
        self.entries: list[Entry] = []

    def ask(self, operation: Operation) -> Any:
        seq = getattr(operation, "hold_seq", None)
        originals: dict[int, Original | None] = {}
        if seq is not None:
            related = [each for each in self.entries if each.related_seq == seq]
            originals = {seq: original_of(self.entries[seq - 1], related, [])}
        unit: Unit[None] = Unit(self.account, Facts(BOOK, originals), START)
        unit.add(None, operation)
        self.account = unit.seal()
        decided = unit.decided[0][1]
        if isinstance(decided, Entry):
            self.entries.append(decided)
        return decided

    def audit(self) -> None:
        assert_audited(self.account, self.entries)


def rich(plan_id: str | None = None) -> Ledger:
    ledger = Ledger(plan_id)
    ledger.ask(Grant("g", "a", 100_000, "topup", expires_in_s=3600))
    return ledger


@given(parts=st.lists(tokens, min_size=1, max_size=6), is_last_final=st.booleans())
def test_captures_of_a_hold_are_rounded_once(parts: list[Tokens], is_last_final: bool) -> None:
    ledger = rich()
    hold = ledger.ask(Hold("h", "a", "CHAT", 1000, model="mini"))
    assert hold.price is None
    for no, each in enumerate(parts):
        final = is_last_final and no == len(parts) - 1
        captured = ledger.ask(Capture(f"c{no}", "a", hold.id, hold.seq, 0, None, final, "refuse", None, each))
        assert captured.price == "settings@1#CHAT/mini"
        assert effects_of(captured)["tokens"] == list(each)
    charged = -sum(entry.credits for entry in ledger.entries if entry.kind == "capture")
    assert charged == exact(TokenPrice(250, 2000, 25, 310, 1), summed(parts))
    ledger.audit()


def test_where_a_price_is_found() -> None:
    used = Tokens(uncached_input=1_000_000, output=1_000_000)
    for plan_id, model, credits, provenance in [
        (None, "mini", 2250, "settings@1#CHAT/mini"), (None, "other", 4500, "settings@1#CHAT/*"),
        (None, None, 4500, "settings@1#CHAT/*"), ("pro", "mini", 1100, "plan:pro@2#CHAT/mini"),
        ("pro", "other", 4500, "settings@1#CHAT/*"),
    ]:  # fmt: skip
        entry = rich(plan_id).ask(Deduct("k", "a", "CHAT", model=model, tokens=used))
        assert (entry.credits, entry.price) == (-credits, provenance)
    for unpriced in (Deduct("k", "a", "OLD", model="mini", tokens=used), Hold("k", "a", "IMAGE", 0, tokens=used)):
        refused = rich().ask(unpriced)
        assert isinstance(refused, Refused)
        assert isinstance(refused.refusal, NoPrice)


def test_a_hold_sized_by_tokens_and_a_late_capture() -> None:
    ledger = rich()
    hold = ledger.ask(Hold("h", "a", "CHAT", 0, model="mini", tokens=Tokens(output=10_000), on_lapse="release"))
    assert (effects_of(hold)["held"], hold.price) == (20, "settings@1#CHAT/mini")
    ledger.ask(Capture("c1", "a", hold.id, hold.seq, 0, None, False, "refuse", None, Tokens(output=600)))
    late = ledger.ask(Capture("c2", "a", hold.id, hold.seq, 0, None, True, "allow", None, Tokens(output=600)))
    assert -sum(entry.credits for entry in ledger.entries if entry.kind == "capture") == 3, "2400 millionths, once"
    assert effects_of(late)["micro"] == 1_200_000
    nothing = rich().ask(Hold("h", "a", "CHAT", 0, model="mini", tokens=Tokens()))
    assert effects_of(nothing)["held"] == 1, "a hold holds something"
    ledger.audit()


@pytest.mark.parametrize(
    "raw",
    [
        {}, {"output": 1}, {"uncachedInput": 1}, {"uncachedInput": -1, "output": 1}, {"uncachedInput": 1.5, "output": 1},
        {"uncachedInput": True, "output": 1}, {"uncachedInput": 1, "output": 10**10}, {"uncachedInput": 1, "output": "1"},
        {"uncachedInput": 1, "output": 1, "minimum": -1}, [], None, 5,
    ],
)  # fmt: skip
def test_what_the_app_wrote_wrongly_is_no_price(raw: Any) -> None:
    assert token_prices({"tokenPrices": {"CHAT": {"m": raw}}}) == {"CHAT": {}}
    assert token_prices({"tokenPrices": {"CHAT": raw}}).get("CHAT", {}) == {}


def test_tokens_tell_requests_apart_and_others_stay_the_same() -> None:
    """Fingerprints of holds and captures as they were before tokens came."""
    plain = Capture("k", "a", "01X", 3, 5)
    assert fingerprint(plain._replace(tokens=Tokens(1))) != fingerprint(plain._replace(tokens=Tokens(2)))
    assert fingerprint(plain).hex() == "2799431c76a163078e2497e2a5036312"
    assert fingerprint(Hold("k", "a", "CHAT", 5)).hex() == "fe3f31248cd14d4c4ba604d579f52a8b"
