"""The ring of keys: what it takes, and for how long without having been read again."""

import pytest
from aiohttp.test_utils import make_mocked_request

from pedro_ledger.api.access.api_keys import KeyRing
from pedro_ledger.api.http.caller import Caller
from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.scopes import Scope
from pedro_ledger.ledger.errors import Unavailable


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def caller_of(ring: KeyRing, key: str) -> str:
    return ring.authenticate(make_mocked_request("GET", "/", headers={"Authorization": f"Bearer {key}"})).key_id


def ring_of(clock: Clock) -> KeyRing:
    ring = KeyRing({KeyRing.digest("fixed"): Caller("initial", frozenset(Scope))}, clock=clock)
    ring.fresh_for_s = 6
    ring.replace({KeyRing.digest("other"): Caller("key_1", frozenset(Scope))})
    return ring


def test_a_key_of_the_database_holds_as_long_as_it_is_known_to() -> None:
    clock = Clock()
    ring = ring_of(clock)
    clock.now_s += 6
    assert (caller_of(ring, "other"), ring.stale_s) == ("key_1", 0)
    clock.now_s += 0.5
    assert ring.stale_s == 0.5
    with pytest.raises(Unavailable) as refused:
        caller_of(ring, "other")
    assert refused.value.facts == {"reason": "keys_not_refreshed"}
    assert caller_of(ring, "fixed") == "initial"
    with pytest.raises(Problem):
        caller_of(ring, "nobody's")
    ring.replace({KeyRing.digest("other"): Caller("key_1", frozenset(Scope))})
    assert caller_of(ring, "other") == "key_1"


def test_what_counts_is_when_the_reading_began() -> None:
    clock = Clock()
    ring = ring_of(clock)
    began = ring.now()
    clock.now_s += 7
    ring.replace({KeyRing.digest("other"): Caller("key_1", frozenset(Scope))}, read_at=began)
    with pytest.raises(Unavailable):
        caller_of(ring, "other")


def test_without_a_limit_keys_hold() -> None:
    clock = Clock()
    ring = KeyRing({}, clock=clock)
    ring.replace({KeyRing.digest("other"): Caller("key_1", frozenset(Scope))})
    clock.now_s += 1e9
    assert caller_of(ring, "other") == "key_1"
