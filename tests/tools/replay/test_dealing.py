"""Who makes which request, and what it costs."""

from collections import Counter
from pathlib import Path

import pytest

from pedro_ledger.tools.replay.dealing import Dealer
from pedro_ledger.tools.replay.errors import ReplayStopped, TraceError
from pedro_ledger.tools.replay.pricing import TokenPrice, credits_asked
from pedro_ledger.tools.replay.trace import TraceLine


def dealt(count: int, users: int = 100, exponent: float = 1.0, seed: int = 7) -> list[int]:
    dealer = Dealer(users, exponent, seed)
    return [dealer.deal() for _ in range(count)]


def test_the_deal_is_the_same_every_time() -> None:
    assert dealt(12) == [3, 1, 16, 1, 9, 4, 1, 8, 1, 5, 1, 1]
    assert dealt(12) == dealt(500)[:12] != dealt(12, seed=8)


def test_some_users_are_hot_as_the_exponent_says() -> None:
    counts = Counter(dealt(20_000))
    assert 0.17 < counts[1] / 20_000 < 0.215  # 1 / (1 + 1/2 + … + 1/100) is 0.193
    assert 0.4 < counts[2] / counts[1] < 0.6
    even = Counter(dealt(20_000, exponent=0))
    assert set(even) == set(range(1, 101))
    assert max(even.values()) < 2 * min(even.values())


def test_one_user_gets_everything() -> None:
    assert set(dealt(100, users=1)) == {1}


@pytest.mark.parametrize(
    ("per_1k", "tokens", "credits"),
    [
        ("1", 0, 1), ("1", 1, 1), ("1", 1000, 1), ("1", 1001, 2), ("10", 100, 1), ("10", 101, 2), ("10", 2000, 20),
        ("0.1", 10_000, 1), ("0.1", 10_001, 2), ("1.1", 10_000, 11), ("0.7", 10_000, 7), ("1000000", 1, 1000),
    ],
)  # fmt: skip
def test_a_price_is_rounded_up_exactly_and_at_least_one(per_1k: str, tokens: int, credits: int) -> None:
    assert TokenPrice(per_1k).of(tokens) == credits


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e400", "1e-400000000", "ten", ""])
def test_a_price_that_is_none(text: str) -> None:
    with pytest.raises(ReplayStopped, match="--credits-per-1k-tokens"):
        TokenPrice(text)


def test_what_a_request_asks_for() -> None:
    line, file = TraceLine(3, 0.0, 1500, 600), Path("t.csv")
    assert credits_asked(file, line, TokenPrice("1")) == 3
    assert credits_asked(file, line, None) is None
    assert credits_asked(file, line._replace(credits=7), TokenPrice("1")) == 7
    with pytest.raises(TraceError, match=r"t\.csv:3: would cost 2147483998000 credits"):
        credits_asked(file, line._replace(context_tokens=2**31 - 1, generated_tokens=351), TokenPrice("1000000"))
