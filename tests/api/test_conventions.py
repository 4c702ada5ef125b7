"""Every line of the contract's "Conventions"."""

import asyncio
import re
from typing import Any

import orjson
import pytest

from pedro_ledger.api.http.problems import STATUS_BY_CODE
from pedro_ledger.api.http.scopes import Scope
from pedro_ledger.daemon.app import Daemon
from pedro_ledger.ledger import errors
from pedro_ledger.postgres.database import Connection
from tests.conftest import settings_for
from tests.support.client import API_KEY, Api
from tests.support.keys import bearer_with
from tests.support.patience import PATIENCE_S


@pytest.mark.parametrize(
    "auth", ["Bearer", "Bearer ", "Bearer wrong", f"Basic {API_KEY}", f"Bearer {API_KEY}x", "Bearer ünï"]
)
async def test_what_is_no_valid_key_is_refused(api: Api, auth: str) -> None:
    """Every route with every kind of key: tests/system/access/test_matrix.py."""
    reply = await api.get("/v1/users", auth=auth)
    assert (reply.status, reply.code) == (401, "unauthorized")
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_grant_in_a_batch_needs_admin(api: Api, connection: Connection) -> None:
    user = await api.user(100)
    writer = await bearer_with(api, connection, Scope.WRITE)
    lines = [
        {"type": "grant", "user": user, "idempotencyKey": "1", "credits": 5, "source": "promo"},
        {"type": "deduct", "user": user, "idempotencyKey": "2", "operationType": "AI_TEXT_CHAT", "credits": 1},
    ]
    reply = await api.post("/v1/operations", {"operations": lines}, auth=writer)
    assert [result["status"] for result in reply.json["results"]] == [403, 201]


async def test_what_moves_credits_needs_an_idempotency_key(api: Api) -> None:
    user = await api.user(100)
    for call in ("deduct", "refund", "grants"):
        reply = await api.post(f"/v1/users/{user}/{call}", {"credits": 1})
        assert (reply.status, reply.code) == (400, "idempotency_key_required")


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "ümlaut"])
async def test_a_malformed_idempotency_key_is_refused(api: Api, key: str) -> None:
    user = await api.user(100)
    reply = await api.deduct(user, 1, key=key or " ")
    assert (reply.status, reply.code) == (400, "idempotency_key_invalid")
    assert await api.balance(user) == 100


async def test_two_idempotency_keys_are_refused(api: Api) -> None:
    user = await api.user(100)
    headers = [("Authorization", f"Bearer {API_KEY}"), ("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    body = b'{"operationType": "AI_TEXT_CHAT", "credits": 1}'
    async with api.session.post(f"{api.address}/v1/users/{user}/deduct", data=body, headers=headers) as response:
        assert response.status == 400
        assert (await response.json(content_type=None))["code"] == "idempotency_key_invalid"
    assert await api.balance(user) == 100


async def test_a_key_of_255_printable_characters_is_taken(api: Api) -> None:
    user = await api.user(100)
    key = ("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ a" * 8)[:254] + "z"
    assert (await api.deduct(user, 1, key=key)).status == 201


@pytest.mark.parametrize("credits", [40, 400])
async def test_the_same_key_and_request_get_the_first_answer_again(api: Api, credits: int) -> None:
    user = await api.user(100)
    first = await api.deduct(user, credits, key="same", details={"a": 1, "b": 2})
    await api.grant(user, 1000)
    again = await api.deduct(user, credits, key="same", details={"b": 2, "a": 1})
    told = {"replayed": True, "detail": again.json["detail"]} if first.status == 402 else {}
    assert (again.status, again.json) == (first.status, first.json | told)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await api.balance(user) == (1060 if credits == 40 else 1100)


async def test_a_full_refund_is_replayed_though_nothing_is_left_to_refund(api: Api) -> None:
    user = await api.user(100)
    entry = (await api.deduct(user, 30)).json["entryId"]
    first = await api.refund(user, entryId=entry, key="r")
    again = await api.refund(user, entryId=entry, key="r")
    assert (again.status, again.body) == (201, first.body)


@pytest.mark.parametrize("change", [{"credits": 2}, {"operationType": "SHORTS_MEDIA"}, {"details": {"a": 1}}])
async def test_the_same_key_with_another_request_is_refused(api: Api, change: dict[str, Any]) -> None:
    user = await api.user(100)
    await api.deduct(user, 1, key="same")
    reply = await api.deduct(user, change.pop("credits", 1), key="same", **change)
    assert (reply.status, reply.code) == (422, "idempotency_key_reused")
    assert (await api.grant(user, 1, key="same")).code == "idempotency_key_reused"
    assert await api.balance(user) == 99


async def test_keys_of_two_users_do_not_meet(api: Api) -> None:
    first, second = await api.user(100), await api.user(100)
    assert (await api.deduct(first, 1, key="same")).status == 201
    assert (await api.deduct(second, 2, key="same")).status == 201


async def test_one_key_two_hundred_times_at_once_is_applied_once(api: Api) -> None:
    user = await api.user(100)
    replies = await asyncio.gather(*(api.deduct(user, 10, key="once") for _ in range(200)))
    assert {(reply.status, reply.body) for reply in replies} == {(201, replies[0].body)}
    assert sum("Idempotency-Replayed" in reply.headers for reply in replies) == 199
    assert await api.balance(user) == 90
    assert len(await api.statement(user)) == 2


BODIES: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"{", 400),
    (b"[]", 422),
    (b"null", 422),
    (b'"text"', 422),
    (b'{"operationType":"AI_TEXT_CHAT","credits":1} x', 400),
    (b'\xef\xbb\xbf{"operationType":"AI_TEXT_CHAT","credits":1}', 400),
    (b'{"operationType":"AI_TEXT_CHAT","credits":NaN}', 400),
    (b'{"operationType":"AI_TEXT_CHAT","credits":Infinity}', 400),
    (b'{"operationType":"AI_TEXT_CHAT","credits":1e999}', 422),
    (b'{"operationType":"AI_TEXT_CHAT","credits":1.0}', 422),
    (b'{"operationType":"AI_TEXT_CHAT","credits":1e2}', 422),
    (b'{"operationType":"AI_TEXT_CHAT","credits":true}', 422),
    (b'{"operationType":"AI_TEXT_CHAT","credits":"1"}', 422),
    (b'{"operationType":"AI_TEXT_CHAT","credits":0}', 422),
    (b'{"operationType":"AI_TEXT_CHAT","credits":-1}', 422),
    (b'{"operationType":"AI_TEXT_CHAT","credits":2147483648}', 422),
    (b'{"operationType":"AI_TEXT_CHAT","credits":9223372036854775808}', 422),
    (b'{"operationType":"AI_TEXT_CHAT","credits":' + b"9" * 5000 + b"}", 400),
    (b'{"operationType":"AI_TEXT_CHAT","credits":' + b"9" * 4000 + b"}", 422),
    (b'{"operationType":"AI_TEXT_CHAT","credits":1,"credits":1}', 400),
    (b'{"operationType":"AI_TEXT_CHAT","credits":1,"details":{"a":1,"a":2}}', 400),
    (b'{"operationType":"AI_TEXT_CHAT","credits":1,"extra":1}', 422),
    (b'{"operationType":"AI_TEXT_CHAT","credits":1,"details":[]}', 422),
    (b'{"operationType":"AI_TEXT_CHAT","credits":1,"details":{"a":"\\u0000"}}', 422),
    (b'{"operationType":"AI_TEXT_CHAT","credits":1,"details":{"\\u0000":1}}', 422),
    (b'{"operationType":"AI_TEXT_CHAT","credits":1,"details":{"a":1e999}}', 422),
    (b'{"operationType":"AI_TEXT_CHAT","credits":1,"details":{"a":[' + b"9" * 40 + b"]}}", 422),
    (b'{"operationType":"AI_TEXT_CHAT","credits":1,"details":{"a":"\\ud800"}}', 400),
    (b'{"operationType":"AI_TEXT_CHAT","credits":1,"details":{"a":"\xff"}}', 400),
    (b'{"operationType":"AI_TEXT_CHAT","credits":1,"details":' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
    (b'{"operationType":"AI_TEXT\\u0000_CHAT","credits":1}', 422),
    (b'{"operationType":"NO_SUCH_TYPE","credits":1}', 422),
    (b'{"operationType":"","credits":1}', 422),
    (b'{"credits":1}', 422),
]


@pytest.mark.parametrize(("body", "status"), BODIES, ids=lambda part: repr(part)[:60])
async def test_a_body_that_is_not_strict_is_refused_and_nothing_changes(api: Api, body: bytes, status: int) -> None:
    user = await api.user(100)
    reply = await api.post(f"/v1/users/{user}/deduct", raw=body, key="k")
    assert reply.status == status, reply.body
    assert reply.code in {"malformed_json", "invalid_body", "unknown_operation_type"}
    assert await api.balance(user) == 100
    assert (await api.deduct(user, 1, key="k")).status == 201, "the key of a refused body is free"


async def test_an_offending_field_is_named(api: Api) -> None:
    user = await api.user(100)
    reply = await api.post(f"/v1/users/{user}/deduct", {"credits": "x", "more": 1}, key="k")
    assert {error["field"] for error in reply.json["errors"]} == {"operationType", "credits", "more"}


async def test_details_keep_what_json_can_say(api: Api) -> None:
    user = await api.user(100)
    details = {"b": [1, 2.5, -0.1, True, None, 'ü\u2028\U0001f600\\ "'], "a": {"": {}}, "n": 2**63 - 1, "e": 1e-300}
    entry = (await api.deduct(user, 1, details=orjson.loads(orjson.dumps(details)))).json["entryId"]
    assert (await api.get(f"/v1/entries/{entry}")).json["details"] == details
    assert (await api.get(f"/v1/users/{user}/usage")).json["items"][0]["details"] == details


async def test_a_body_over_the_limit_is_413_and_one_at_the_limit_is_read(api: Api) -> None:
    user = await api.user(100)
    shell = len(orjson.dumps({"operationType": "AI_TEXT_CHAT", "credits": 1, "details": {"a": ""}}))
    body = {"operationType": "AI_TEXT_CHAT", "credits": 1, "details": {"a": "x" * (1024**2 - shell)}}
    assert len(orjson.dumps(body)) == 1024**2
    assert (await api.post(f"/v1/users/{user}/deduct", body, key="1")).status == 201
    over = await api.post(f"/v1/users/{user}/deduct", raw=orjson.dumps(body) + b" ", key="2")
    assert (over.status, over.code) == (413, "body_too_large")


@pytest.mark.parametrize(("size", "status"), [(1024, b"400"), (1025, b"413")])
async def test_a_small_limit_holds_for_a_body_that_comes_with_its_head(
    database_url: str, size: int, status: bytes
) -> None:
    head = (
        f"POST /v1/operations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\nContent-Length: {size}\r\n\r\n"
    )
    async with Daemon(settings_for(database_url, body_bytes_max=1024)).started() as running:
        host, _, port = running.address.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode() + b"x" * size)
        async with asyncio.timeout(PATIENCE_S):
            assert (await reader.readline()).split()[1] == status
        writer.close()
        await writer.wait_closed()


async def test_a_huge_chunked_body_is_cut_off(api: Api) -> None:
    async def chunks() -> Any:
        for _ in range(40):
            yield b" " * 65536

    user = await api.user(100)
    headers = {"Authorization": f"Bearer {API_KEY}", "Idempotency-Key": "k"}
    async with api.session.post(f"{api.address}/v1/users/{user}/deduct", data=chunks(), headers=headers) as response:
        assert response.status == 413
        assert (await response.json(content_type=None))["code"] == "body_too_large"


async def test_an_encoded_body_is_refused(api: Api) -> None:
    user = await api.user(100)
    reply = await api.post(f"/v1/users/{user}/deduct", raw=b"x", key="k", headers={"Content-Encoding": "gzip"})
    assert (reply.status, reply.code) in {(415, "encoding_not_supported"), (400, "bad_request")}


async def test_aiohttps_own_refusals_are_problems_too(api: Api) -> None:
    missing = await api.get("/v1/nothing/here")
    assert (missing.status, missing.code) == (404, "not_found")
    wrong = await api.call("DELETE", "/v1/users")
    assert (wrong.status, wrong.code, wrong.headers["Allow"]) == (
        405,
        "method_not_allowed",
        "GET,POST".replace(",", ", "),
    )
    assert "X-Request-Id" in missing.headers


async def test_no_answer_tells_versions(api: Api) -> None:
    answers = [
        await api.get("/health"),
        await api.get("/v1/users/nobody/balance"),
        await api.call("BREW", "/"),
        await api.deduct(await api.user(100), 1),
    ]
    assert {answer.headers["Server"] for answer in answers} == {"pedro-ledger"}
    host, _, port = api.address.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"no HTTP at all\r\n\r\n")
    raw = await reader.read()
    assert b"malformed_request" in raw
    assert b"\r\nServer: pedro-ledger\r\n" in raw
    writer.close()


async def test_unknown_users_and_entries_are_404(api: Api) -> None:
    for path in ("", "/balance", "/usage", "/statement"):
        reply = await api.get(f"/v1/users/nobody{path}")
        assert (reply.status, reply.code) == (404, "user_not_found")
    assert (await api.deduct("nobody", 1)).code == "user_not_found"
    assert (await api.deduct("clerk:nobody", 1)).code == "user_not_found"
    assert (await api.deduct("%00", 1)).code == "user_not_found"
    assert (await api.get("/v1/entries/nothing")).code == "entry_not_found"


async def test_a_sane_request_id_comes_back_and_another_is_replaced(api: Api) -> None:
    kept = await api.get("/livez", headers={"X-Request-Id": "req_1.2-3:4"})
    assert kept.headers["X-Request-Id"] == "req_1.2-3:4"
    for insane in ("x" * 129, "with space", '"quoted"'):
        replaced = (await api.get("/livez", headers={"X-Request-Id": insane})).headers["X-Request-Id"]
        assert re.fullmatch(r"[0-9a-f]{12}-\d+", replaced)


async def test_lists_are_paged_and_stay_stable_while_rows_are_added(api: Api) -> None:
    user = await api.user(100)
    for _ in range(25):
        await api.deduct(user, 1)
    for path, total in ((f"/v1/users/{user}/usage", 25), (f"/v1/users/{user}/statement", 26)):
        first = (await api.get(path)).json
        assert len(first["items"]) == 20
        seen = [item["id"] for item in first["items"]]
        added = (await api.deduct(user, 1)).json["entryId"]
        second = (await api.get(f"{path}?cursor={first['nextCursor']}")).json
        seen += [item["id"] for item in second["items"] if item["id"] != added]
        assert len(seen) == len(set(seen)) >= total
        assert second["nextCursor"] is None
    newest = (await api.get(f"/v1/users/{user}/statement?order=desc&limit=1")).json
    assert newest["items"][0]["seq"] == 28


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "limit=1&limit=2", "cursor=x", "cursor=W10", "from=yesterday", "more=1"],
)
async def test_a_query_that_is_not_understood_is_400(api: Api, query: str) -> None:
    user = await api.user(100)
    reply = await api.get(f"/v1/users/{user}/statement?{query}")
    assert (reply.status, reply.code) == (400, "invalid_query")
    assert reply.json["field"] == query.split("=", maxsplit=1)[0]


async def test_our_own_mistake_is_told_without_what_it_was(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: str) -> str:
        raise RuntimeError("secret of the inside")

    monkeypatch.setattr(api.parts.users, "find", broken)
    reply = await api.get("/v1/users/somebody", headers={"X-Request-Id": "find-me"})
    assert (reply.status, reply.code, reply.headers["X-Request-Id"]) == (500, "internal_error", "find-me")
    assert reply.json["detail"].startswith("The daemon made a mistake; its log has the request id.")
    assert b"secret" not in reply.body
    assert b"Traceback" not in reply.body


async def test_a_refusal_of_a_newer_version_is_repeated_with_its_code(
    api: Api, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older replica is one that does not know this code yet."""
    user = await api.user(100)
    first = await api.deduct(user, 1000, key="newer")
    monkeypatch.delitem(errors.REMEMBERED, first.code)
    async with Daemon(settings_for(database_url)).started() as running, Api.open(running) as older:
        again = await older.deduct(user, 1000, key="newer")
        assert (again.status, again.code) == (409, "insufficient_credits")
        told = {"status", "title", "detail", "replayed"}
        assert {k: v for k, v in again.json.items() if k not in told} == {
            k: v for k, v in first.json.items() if k not in told
        }
        assert (await older.deduct(user, 1)).status == 201


def test_every_error_of_the_ledger_has_a_status() -> None:
    def leaves(kind: type[errors.LedgerError]) -> set[str]:
        below = kind.__subclasses__()
        return (
            {kind.code}.union(*(leaves(each) for each in below))
            if kind is not errors.LedgerError
            else set().union(*(leaves(each) for each in below))
        )

    assert leaves(errors.LedgerError) - {"refused"} == set(STATUS_BY_CODE)


async def test_a_problem_that_is_about_a_field_names_it_first(api: Api) -> None:
    user = await api.user(100, email="a@example.com")
    other = await api.user(100)
    settings = {"featureCosts": {"AI_TEXT_CHATS": 1}}
    entry = (await api.deduct(user, 1)).json["entryId"]
    for reply in (
        await api.deduct(user, -1),
        await api.deduct(user, 1, operationType="DANCE"),
        await api.deduct(user, 1, details={"a": "\0"}),
        await api.refund(user, entryId=entry, operationType="AI_TEXT_CHAT"),
        await api.refund(user, credits=1),
        await api.grant(user, 1, expiresAt="2031-01-01T00:00:00Z", expiresIn=5),
        await api.grant(user, 1, expiresAt="2001-01-01T00:00:00Z"),
        await api.hold(user, 1, creditsMin=2),
        await api.adjust(user, 0),
        await api.call("PATCH", f"/v1/users/{other}", {"email": "a@example.com"}),
        await api.call("PATCH", "/v1/admin/settings", settings),
        await api.get("/v1/users?limit=0"),
        await api.post(f"/v1/users/{user}/deduct", {"operationType": "AI_TEXT_CHAT", "credits": 1}),
    ):
        assert 400 <= reply.status < 500
        assert reply.json["detail"].startswith(reply.json["field"]), reply.body


async def test_a_field_that_a_call_does_not_take_is_told_apart_from_a_typo(api: Api) -> None:
    user = await api.user(100)
    known = (await api.deduct(user, 1, expiresAt="2031-01-01T00:00:00Z")).json
    assert (known["field"], known["code"]) == ("expiresAt", "invalid_body")
    assert known["detail"] == (
        "expiresAt: is known to other calls, but this one takes operationType, credits, tokens, model, details, onBehalfOf"
    )
    typo = (await api.deduct(user, 1, detials={})).json
    assert typo["detail"] == "detials: is no field; did you mean details?"
    assert typo["errors"] == [{"field": "detials", "message": "is no field; did you mean details?"}]
    odd = (await api.deduct(user, 1, xyzzy=1)).json
    assert (
        odd["detail"]
        == "xyzzy: is no field of any call; this one takes operationType, credits, tokens, model, details, onBehalfOf"
    )
    line = {"type": "deduct", "user": user, "idempotencyKey": "k", "operationType": "AI_TEXT_CHAT", "creditMin": 1}
    (result,) = (await api.post("/v1/operations", {"operations": [line]})).json["results"]
    assert result["error"]["field"] == "creditMin"
    nested = (await api.grant(user, 1, expiresIn=60, rollover={"percent": 5, "expiresIn": 5, "cups": 1})).json
    assert nested["detail"].startswith("rollover.cups: is no field")
