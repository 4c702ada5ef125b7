"""Rate limits: the algorithm against a model of it, and what callers get to see."""

from collections.abc import Collection, Mapping
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pedro_ledger.api import user_names
from pedro_ledger.api.http.rate_limits import Limiter, Pace, rate_limits
from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection
from tests.conftest import settings_for
from tests.support.client import Api

GAPS = st.lists(st.integers(0, 64).map(lambda eighths: eighths / 8), min_size=1, max_size=200)
PACES = st.builds(Pace, st.sampled_from([0.25, 0.5, 1.0, 2.0, 8.0]), st.integers(1, 20))


class Bucket:
    """The same limit told another way: a bucket of tokens that fills at an even pace, in exact
    numbers.
    """

    def __init__(self, pace: Pace) -> None:
        self.pace, self.tokens, self.at = pace, Fraction(pace.burst), Fraction(0)

    def take(self, now: float) -> bool:
        moment = Fraction(now)
        self.tokens = min(Fraction(self.pace.burst), self.tokens + (moment - self.at) * Fraction(self.pace.per_s))
        self.at = moment
        if self.tokens >= 1:
            self.tokens -= 1
            return True
        return False


@given(PACES, GAPS)
def test_it_allows_what_a_bucket_of_tokens_allows(pace: Pace, gaps: list[float]) -> None:
    limiter, bucket, now = Limiter(pace), Bucket(pace), 0.0
    for gap in gaps:
        now += gap
        verdict = limiter.take("a", now)
        assert verdict.allowed == bucket.take(now)
        assert verdict.left == int(bucket.tokens)


@given(PACES, GAPS)
def test_no_stretch_of_time_has_more_calls_than_burst_and_pace_allow(pace: Pace, gaps: list[float]) -> None:
    limiter, now, allowed = Limiter(pace), 0.0, []
    for gap in gaps:
        now += gap
        if limiter.take("a", now).allowed:
            allowed.append(now)
    for first in range(len(allowed)):
        for last in range(first, len(allowed)):
            assert last - first + 1 <= pace.burst + (allowed[last] - allowed[first]) * pace.per_s


@given(PACES, GAPS)
def test_who_waits_as_told_is_allowed_and_not_sooner(pace: Pace, gaps: list[float]) -> None:
    limiter, now = Limiter(pace), 0.0
    for gap in gaps:
        now += gap
        verdict = limiter.take("a", now)
        if not verdict.allowed:
            assert not limiter.take("a", now + verdict.retry_after_s * 0.99).allowed
            now += verdict.retry_after_s
            assert limiter.take("a", now).allowed


def test_callers_do_not_use_up_each_others() -> None:
    limiter = Limiter(Pace(1.0, 2))
    assert [limiter.take(caller, 0.0).allowed for caller in ("a", "a", "a", "b")] == [True, True, False, True]


def test_what_is_kept_in_mind_is_bounded_and_the_busiest_stay() -> None:
    limiter = Limiter(Pace(1.0, 1), known_max=100)
    assert limiter.take("busy", 0.0).allowed
    for number in range(1000):
        limiter.take(f"once-{number}", 0.0)
        assert not limiter.take("busy", 0.0).allowed
    assert len(limiter._done_at) == 100


def test_without_settings_nothing_is_counted() -> None:
    async def ids_of(refs: Collection[str]) -> Mapping[str, str]:
        return {}

    assert rate_limits(key_per_s=0, user_per_s=0, burst_s=10, ids_of=ids_of) is None


async def test_a_key_that_calls_too_often_is_told_when_to_call_again(database_url: str) -> None:
    settings = settings_for(database_url, rate_limit_key_per_s=0.01, rate_limit_burst_s=300)
    async with Daemon(settings).started() as running, Api.open(running) as api:
        replies = [await api.get("/v1/users") for _ in range(4)]
        assert [reply.status for reply in replies] == [200, 200, 200, 429]
        assert [reply.headers["RateLimit-Policy"] for reply in replies] == ['"key";q=3;w=300'] * 4
        assert [reply.headers["RateLimit"].split(";t")[0] for reply in replies] == [
            f'"key";r={n}' for n in (2, 1, 0, 0)
        ]
        assert (replies[3].code, replies[3].json["limit"]) == ("rate_limited", "key")
        assert 90 <= int(replies[3].headers["Retry-After"]) <= 100
        assert (await api.get("/livez")).status == 200
        assert "RateLimit" not in (await api.get("/livez")).headers
        assert (await api.get("/v1/users", auth=None)).status == 401


async def test_what_comes_too_often_for_one_user_harms_no_other_and_moves_nothing(database_url: str) -> None:
    settings = settings_for(database_url, rate_limit_user_per_s=0.01, rate_limit_burst_s=400)
    async with Daemon(settings).started() as running, Api.open(running) as api:
        busy, other = await api.user(100), await api.user(100)
        assert [(await api.deduct(busy, 1)).status for _ in range(2)] == [201, 201]
        lines = [
            {"type": "deduct", "user": user, "idempotencyKey": f"b{n}", "operationType": "AI_TEXT_CHAT", "credits": 1}
            for n, user in enumerate((busy, busy, busy, other))
        ]
        results = (await api.post("/v1/operations", {"operations": lines})).json["results"]
        assert [result["status"] for result in results] == [201, 201, 429, 201]
        assert results[2]["error"]["code"] == "rate_limited"
        refused = await api.deduct(busy, 1)
        assert (refused.status, refused.code, refused.json["limit"]) == (429, "rate_limited", "user")
        assert refused.headers["RateLimit-Policy"] == '"user";q=4;w=400'
        assert await api.balance(other) == 99
        rows = await running.parts.entries.balance(busy)
        assert rows is not None
        assert rows.posted == 96


async def test_both_names_of_a_user_are_counted_as_one(database_url: str, connection: Connection) -> None:
    settings = settings_for(database_url, rate_limit_user_per_s=0.01, rate_limit_burst_s=400)
    async with Daemon(settings).started() as running, Api.open(running) as api:
        user = (await api.post("/v1/users", {"clerkId": "ana"})).json["id"]
        other = (await api.post("/v1/users", {"clerkId": "ben"})).json["id"]
        line = {"type": "deduct", "operationType": "AI_TEXT_CHAT", "credits": 1}
        lines = [line | {"user": ref, "idempotencyKey": f"b-{ref}"} for ref in ("clerk:ana", user)]
        results = (await api.post("/v1/operations", {"operations": lines})).json["results"]
        assert [result["status"] for result in results] == [201, 201]
        assert [(await api.get(f"/v1/users/{ref}/balance")).status for ref in ("clerk:ana", user)] == [200, 200]
        for ref in ("clerk:ana", user):
            assert (await api.deduct(ref, 1)).code == "rate_limited", ref
        assert await api.balance("clerk:ben") == 100
        for nobody in ("clerk:nobody", "clerk:nobody", "nobody"):
            assert (await api.get(f"/v1/users/{nobody}/balance")).code == "user_not_found"
        assert (await api.get(f"/v1/users/{other}/balance")).status == 200


async def test_a_clerk_id_that_moves_is_counted_for_who_has_it(
    database_url: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_names, "KEPT_S", 0.0)
    settings = settings_for(database_url, rate_limit_user_per_s=0.01, rate_limit_burst_s=100)
    async with Daemon(settings).started() as running, Api.open(running) as api:
        await api.post("/v1/users", {"clerkId": "ana"})
        ben = (await api.post("/v1/users", {"clerkId": "ben"})).json["id"]
        assert [(await api.get("/v1/users/clerk:ana")).status for _ in range(2)] == [200, 429]
        await connection.execute("""UPDATE "User" SET "clerkId" = 'gone' WHERE "clerkId" = 'ana'""")
        await connection.execute("""UPDATE "User" SET "clerkId" = 'ana' WHERE "id" = $1""", ben)
        assert [(await api.get("/v1/users/clerk:ana")).status for _ in range(2)] == [200, 429]


@pytest.mark.parametrize("limits", [{}, {"rate_limit_key_per_s": 1000.0}])
async def test_limits_that_are_not_reached_change_no_answer(database_url: str, limits: dict[str, float]) -> None:
    async with Daemon(settings_for(database_url, **limits)).started() as running, Api.open(running) as api:
        user = await api.user(100)
        reply = await api.deduct(user, 1)
        assert reply.status == 201
        assert ("RateLimit" in reply.headers) == bool(limits)
