"""Customers' own tokens: real RSA signatures, keys from a real JWKS server; they read what is
theirs, and nothing else.
"""

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from time import time
from typing import Any

import jwt
import orjson
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from pedro_ledger.api.access import session_tokens
from pedro_ledger.api.routes import PUBLIC, ROUTES
from pedro_ledger.daemon.app import Daemon
from tests.conftest import settings_for
from tests.support.client import Api, Reply
from tests.support.patience import PATIENCE_S

KEY = rsa.generate_private_key(65537, 2048)
OTHER_KEY = rsa.generate_private_key(65537, 2048)
ISSUER = "https://clerk.example.com"
ORIGIN = "https://app.example.com"


def published(key: rsa.RSAPrivateKey, key_id: str) -> dict[str, Any]:
    return RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": key_id, "use": "sig", "alg": "RS256"}


class Clerk:
    """What Clerk publishes, and how often it was asked."""

    def __init__(self) -> None:
        self.answer: Any = {"keys": [published(KEY, "k1")]}
        self.status = 200
        self.asked = 0
        self.url = ""
        self.answers = asyncio.Event()
        self.answers.set()

    async def serve(self, _: web.BaseRequest) -> web.Response:
        self.asked += 1
        await self.answers.wait()
        if isinstance(self.answer, bytes):
            return web.Response(status=self.status, body=self.answer)
        return web.json_response(self.answer, status=self.status)


@pytest.fixture
async def clerk() -> AsyncIterator[Clerk]:
    clerk = Clerk()
    runner = web.ServerRunner(web.Server(clerk.serve))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    clerk.url = f"http://127.0.0.1:{runner.addresses[0][1]}/.well-known/jwks.json"
    yield clerk
    await runner.cleanup()


def token(
    sub: str | None = "ana", key: Any = KEY, kid: str | None = "k1", algorithm: str = "RS256", **changes: Any
) -> str:
    now = int(time())
    claims = {"sub": sub, "iss": ISSUER, "azp": ORIGIN, "iat": now, "nbf": now - 5, "exp": now + 60, "sid": "sess_1"}
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid} if kid is not None else {})


@asynccontextmanager
async def daemon(url: str, clerk: Clerk, **changes: Any) -> AsyncIterator[Api]:
    chosen = {
        "clerk_jwks_url": clerk.url,
        "clerk_issuer": ISSUER,
        "clerk_authorized_parties": f"https://elsewhere.example.com, {ORIGIN}",
        **changes,
    }
    async with Daemon(settings_for(url, **chosen)).started() as running, Api.open(running) as api:
        yield api


async def as_customer(api: Api, path: str, sent: str, method: str = "GET", body: Any = None) -> Reply:
    return await api.call(method, path, body, auth=f"Bearer {sent}", key="k" if method == "POST" else None)


async def test_a_customer_reads_what_is_theirs_and_nothing_else(database_url: str, clerk: Clerk) -> None:
    async with daemon(database_url, clerk) as api:
        ana = (await api.post("/v1/users", {"clerkId": "ana"})).json["id"]
        ben = (await api.post("/v1/users", {"clerkId": "ben"})).json["id"]
        await api.deduct(ana, 7)
        for ref in ("me", "clerk:ana", ana):
            balance = await as_customer(api, f"/v1/users/{ref}/balance", token())
            assert (balance.status, balance.json["userId"], balance.json["creditsRemaining"]) == (200, ana, 93)
            assert len((await as_customer(api, f"/v1/users/{ref}/usage", token())).json["items"]) == 1
            assert len((await as_customer(api, f"/v1/users/{ref}/statement", token())).json["items"]) == 2
        file = {"url": "u", "pathname": "p", "name": "n", "size": 1}
        mine = (await api.post("/v1/storage-objects", file | {"user": ana})).json["id"]
        theirs = (await api.post("/v1/storage-objects", file | {"user": ben})).json["id"]
        for user in ("", "?user=me", f"?user={ana}"):
            listed = await as_customer(api, f"/v1/storage-objects{user}", token())
            assert [each["id"] for each in listed.json["items"]] == [mine]
            assert (await as_customer(api, f"/v1/storage-objects/{mine}{user}", token())).status == 200
            assert (await as_customer(api, f"/v1/storage-objects/{theirs}{user}", token())).status == 404
        assert (await as_customer(api, f"/v1/storage-objects?user={ben}", token())).status == 404
        assert (await as_customer(api, "/v1/users/me/storage", token())).json["objects"] == 1
        for ref in ("clerk:ben", ben, "nobody", "clerk:nobody", "clerk:clerk:ana"):
            for what in ("balance", "usage", "statement"):
                reply = await as_customer(api, f"/v1/users/{ref}/{what}", token())
                assert (reply.status, reply.code) == (404, "user_not_found")
        assert (await as_customer(api, "/v1/users/me/balance", token("stranger"))).status == 404
        for route in ROUTES:
            if route.scope is PUBLIC or route.customers:
                continue
            path = route.path.replace("{user}", "me")
            reply = await as_customer(api, path, token(), route.method, {"operationType": "SHORTS_MEDIA", "credits": 1})
            assert (reply.status, reply.code) == (403, "not_for_customers"), f"{route.method} {route.path}"
        assert (await api.balance(ana), await api.balance(ben)) == (93, 100)
    assert clerk.asked == 1


def encoded(text: bytes) -> str:
    return jwt.utils.base64url_encode(text).decode()


def unsigned() -> str:
    return f"{encoded(orjson.dumps({'alg': 'none', 'kid': 'k1'}))}.{token().split('.')[1]}."


def signed_with_the_public_key() -> str:
    """The public key, which everybody has, as the secret of an HMAC."""
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = encoded(orjson.dumps({"alg": "HS256", "kid": "k1", "typ": "JWT"}))
    signed = f"{head}.{token().split('.')[1]}"
    return f"{signed}.{encoded(hmac.new(public, signed.encode(), sha256).digest())}"


def bad_tokens() -> dict[str, str]:
    now = int(time())
    return {
        "another key under this id": token(key=OTHER_KEY),
        "an unknown key": token(kid="k9"),
        "no key id": token(kid=None),
        "expired": token(exp=now - 30),
        "not yet valid": token(nbf=now + 30),
        "another issuer": token(iss="https://elsewhere"),
        "no issuer": token(iss=None),
        "another origin": token(azp="https://evil.example.com"),
        "no origin": token(azp=None),
        "nobody's": token(sub=None),
        "an empty name": token(sub=""),
        "no expiry": token(exp=None),
        "another algorithm": token(algorithm="RS512"),
        "no signature": unsigned(),
        "signed with the public key": signed_with_the_public_key(),
        "cut off": token()[:-4],
        "no JSON": "eyJhbGciOiJSUzI1NiJ.e30.x",
        "brackets in brackets": encoded(b'{"a":' + b"[" * 5000) + ".e30.eA",
        "too long": token(pad="x" * 9000),
        "not ASCII": "eyJä.b.c",
    }


async def test_no_other_token_is_taken(database_url: str, clerk: Clerk) -> None:
    async with daemon(database_url, clerk) as api:
        await api.post("/v1/users", {"clerkId": "ana"})
        assert (await as_customer(api, "/v1/users/me/balance", token())).status == 200
        for name, sent in bad_tokens().items():
            reply = await as_customer(api, "/v1/users/me/balance", sent)
            assert reply.status in (401, 400), name
            if reply.status == 401:
                assert reply.code == "unauthorized", name
        for number in range(5):
            assert (await as_customer(api, "/v1/users/me/balance", token(kid=f"k{number + 10}"))).status == 401
    assert clerk.asked == 1, "unknown keys do not make it ask again and again"


async def test_without_the_setting_no_token_is_taken(database_url: str, clerk: Clerk) -> None:
    async with daemon(database_url, clerk, clerk_jwks_url=None) as api:
        assert (await as_customer(api, "/v1/users/me/balance", token())).status == 401
    assert clerk.asked == 0


async def test_keys_are_rotated_and_outlast_an_outage(
    database_url: str, clerk: Clerk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with daemon(database_url, clerk) as api:
        await api.post("/v1/users", {"clerkId": "ana"})
        balance = "/v1/users/me/balance"
        clerk.status, clerk.answer = 500, {}
        down = await as_customer(api, balance, token())
        assert (down.status, down.code) == (503, "unavailable")
        monkeypatch.setattr(session_tokens, "REFETCH_AFTER_S", 0.0)
        for answer in (b"no json", b"[]", {"keys": []}, {"keys": [{"kty": "RSA", "kid": "k1"}]}, b" " * 300_000):
            clerk.status, clerk.answer = 200, answer
            assert (await as_customer(api, balance, token())).status == 503
        clerk.answer = {"keys": [published(KEY, "k1"), {"kty": "EC", "kid": "k3"}]}
        assert (await as_customer(api, balance, token())).status == 200
        clerk.status = 500
        assert (await as_customer(api, balance, token())).status == 200, "what was read is still known"
        assert (await as_customer(api, balance, token(key=OTHER_KEY, kid="k2"))).status == 401
        clerk.status, clerk.answer = 200, {"keys": [published(OTHER_KEY, "k2")]}
        assert (await as_customer(api, balance, token(key=OTHER_KEY, kid="k2"))).status == 200
        assert (await as_customer(api, balance, token())).status == 401, "a key that was withdrawn is not taken"


def malformed_keys() -> list[Any]:
    good = published(KEY, "good")
    changes: list[dict[str, Any]] = [
        {"n": 1}, {"n": None}, {"n": ""}, {"n": "!!!"}, {"n": "AQ"}, {"n": "ä"}, {"n": ["AQ"]}, {"e": 65537}, {"e": ""}, {"e": "AA"},
        {"e": "AQ"}, {"d": 1}, {"d": "AQ"}, {"d": "AQ", "p": "AQ", "q": 1}, {"oth": [{}], "d": "AQ"}, {"kty": ["RSA"]}, {"kid": {"a": 1}},
    ]  # fmt: skip
    return [good | {"kid": f"bad{number}"} | change for number, change in enumerate(changes)] + [None, 7, [], "RSA"]


async def test_malformed_keys_cost_nobody_anything(database_url: str, clerk: Clerk) -> None:
    keys = malformed_keys()
    clerk.answer = {"keys": [*keys, published(KEY, "k1")]}
    async with daemon(database_url, clerk) as api:
        await api.post("/v1/users", {"clerkId": "ana"})
        assert (await as_customer(api, "/v1/users/me/balance", token())).status == 200
        for number in range(len(keys)):
            reply = await as_customer(api, "/v1/users/me/balance", token(kid=f"bad{number}", key=OTHER_KEY))
            assert (reply.status, reply.code) == (401, "unauthorized"), keys[number]


async def test_claims_of_other_types_are_no_token(database_url: str, clerk: Clerk) -> None:
    async with daemon(database_url, clerk) as api:
        for claims in (
            {"azp": [ORIGIN]},
            {"azp": {}},
            {"exp": "x"},
            {"nbf": [1]},
            {"iat": {}},
        ):
            assert (await as_customer(api, "/v1/users/me/balance", token(**claims))).status == 401, claims


async def test_an_address_that_hangs_keeps_nobody_waiting(
    database_url: str, clerk: Clerk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_tokens, "FETCH_TIMEOUT_S", 3600.0)
    monkeypatch.setattr(session_tokens, "REFETCH_AFTER_S", 0.0)
    balance = "/v1/users/me/balance"
    async with asyncio.timeout(PATIENCE_S), daemon(database_url, clerk) as api:
        await api.post("/v1/users", {"clerkId": "ana"})
        clerk.answers.clear()
        assert (await as_customer(api, balance, token())).code == "unavailable", "nothing is known yet"
        clerk.answers.set()
        while (await as_customer(api, balance, token())).status != 200:
            pass
        clerk.answers.clear()
        monkeypatch.setattr(session_tokens, "KEYS_KEPT_S", 0.0)
        asked = clerk.asked
        for _ in range(3):
            assert (await as_customer(api, balance, token())).status == 200, "the known key holds meanwhile"
        assert (await as_customer(api, balance, token(kid="k9", key=OTHER_KEY))).status == 401
        assert clerk.asked == asked + 1, "it is asked once at a time"
        clerk.answers.set()
        clerk.answer = {"keys": [published(OTHER_KEY, "k9")]}
        while (await as_customer(api, balance, token(kid="k9", key=OTHER_KEY))).status != 200:
            pass
