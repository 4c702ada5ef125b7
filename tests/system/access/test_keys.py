"""API keys: made, listed, revoked and rotated by command, and seen by daemons within moments."""

import asyncio
from time import time

import asyncpg
import orjson
import pytest
from aiohttp.test_utils import make_mocked_request

from pedro_ledger.api.access import api_keys as auth
from pedro_ledger.api.access.api_keys import KeyRing
from pedro_ledger.api.access.key_refresher import KeyRefresher
from pedro_ledger.api.http.caller import Caller
from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.scopes import Scope
from pedro_ledger.daemon.app import Daemon
from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.store.keys import KeyStore
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.patience import PATIENCE_S
from tests.support.processes import command


async def keys(database_url: str, *arguments: str, status: int = 0) -> dict[str, object]:
    exit_status, out, err = await command("keys", *arguments, "--json", DATABASE_URL=database_url)
    assert exit_status == status, err
    return orjson.loads(out) if out else {"err": err}  # type: ignore[no-any-return]


async def answers(api: Api, key: object, status: int, path: str = "/v1/users") -> None:
    """Waits until the daemon answers `key` with `status`."""
    async with asyncio.timeout(PATIENCE_S):
        while (await api.get(path, auth=f"Bearer {key}")).status != status:
            await asyncio.sleep(0.01)


async def test_a_key_is_shown_once_and_does_what_its_scopes_say(
    api: Api, database_url: str, connection: Connection
) -> None:
    made = await keys(database_url, "create", "reader", "--scope", "ledger:read", "--expires-in", "90d")
    assert made["name"] == "reader"
    assert made["scopes"] == ["ledger:read"]
    await answers(api, made["key"], 200)
    user = await api.user(100)
    refused = await api.post(
        f"/v1/users/{user}/deduct",
        {"operationType": "AI_TEXT_CHAT", "credits": 1},
        key="k",
        auth=f"Bearer {made['key']}",
    )
    assert (refused.status, refused.code) == (403, "scope_missing")
    row = await connection.fetchrow("SELECT api_key::text AS text, hash FROM pedro_ledger.api_key")
    assert row is not None
    assert str(made["key"])[6:] not in row["text"]
    assert row["hash"] == KeyRing.digest(str(made["key"]))
    listed = await keys(database_url, "list")
    assert [(each["id"], each["state"], each["lastUsedAt"]) for each in listed["keys"]] == [  # type: ignore[attr-defined]
        (made["id"], "valid", None)
    ]
    assert str(made["key"]) not in str(listed)
    _, text, _ = await command("keys", "list", DATABASE_URL=database_url)
    assert str(made["id"]) in text
    assert str(made["key"]) not in text


async def test_every_entry_says_which_key_made_it(api: Api, database_url: str) -> None:
    made = await keys(database_url, "create", "writer", "--scope", "ledger:write")
    user = await api.user(100)
    await answers(api, made["key"], 403)
    receipt = await api.post(
        f"/v1/users/{user}/deduct",
        {"operationType": "AI_TEXT_CHAT", "credits": 1},
        key="k",
        auth=f"Bearer {made['key']}",
    )
    assert receipt.status == 201
    assert (await api.get(f"/v1/entries/{receipt.json['entryId']}")).json["keyId"] == made["id"]
    assert [entry["keyId"] for entry in await api.statement(user)] == ["initial", made["id"]]


async def test_a_revoked_key_is_refused_by_every_replica_within_moments(api: Api, database_url: str) -> None:
    made = await keys(database_url, "create", "short-lived", "--scope", "ledger:read")
    async with Daemon(settings_for(database_url)).started() as running, Api.open(running) as other:
        for replica in (api, other):
            await answers(replica, made["key"], 200)
        revoked = await keys(database_url, "revoke", str(made["id"]))
        assert revoked["state"] == "revoked"
        for replica in (api, other):
            await answers(replica, made["key"], 401)
            assert (await replica.get("/v1/users")).status == 200, "the first key goes on working"
        again = await keys(database_url, "revoke", str(made["id"]))
        assert again["revokedAt"] == revoked["revokedAt"]
    assert "keys list" in str((await keys(database_url, "revoke", "key_unknown", status=1))["err"])


async def test_a_rotated_key_lives_on_beside_the_new_one_for_as_long_as_told(api: Api, database_url: str) -> None:
    first = await keys(database_url, "create", "service", "--scope", "ledger:read", "--workspace", "w1")
    second = await keys(database_url, "rotate", str(first["id"]), "--keep-old", "1h")
    assert second["key"] != first["key"]
    for shared in ("name", "scopes", "workspaceId"):
        assert second[shared] == first[shared]
    await asyncio.sleep(0)
    listed = {each["id"]: each for each in (await keys(database_url, "list"))["keys"]}  # type: ignore[attr-defined]
    assert [listed[each["id"]]["state"] for each in (first, second)] == ["valid", "valid"]
    assert listed[first["id"]]["expiresAt"] is not None
    third = await keys(database_url, "rotate", str(second["id"]), "--keep-old", "0s")
    listed = {each["id"]: each for each in (await keys(database_url, "list"))["keys"]}  # type: ignore[attr-defined]
    assert [listed[each["id"]]["state"] for each in (first, second, third)] == ["valid", "revoked", "valid"]
    await keys(database_url, "rotate", str(second["id"]), status=1)


async def test_a_rotated_key_ends_when_the_old_one_would_have(api: Api, database_url: str) -> None:
    first = await keys(database_url, "create", "service", "--scope", "ledger:read", "--expires-in", "2d")
    second = await keys(database_url, "rotate", str(first["id"]), "--keep-old", "1h")
    assert second["expiresAt"] == first["expiresAt"]
    third = await keys(database_url, "rotate", str(second["id"]), "--keep-old", "0s")
    assert third["expiresAt"] == first["expiresAt"]
    fourth = await keys(database_url, "rotate", str(third["id"]), "--expires-in", "9d")
    assert str(fourth["expiresAt"]) > str(first["expiresAt"])


@pytest.mark.parametrize("arguments", [("--expires-in", "soon"), ("--scope", "everything"), ()])
async def test_what_cannot_be_a_key_is_refused_with_what_to_write(
    database_url: str, arguments: tuple[str, ...]
) -> None:
    scope = ("--scope", "admin") if arguments and arguments[0] != "--scope" else ()
    status, out, err = await command("keys", "create", "x", *scope, *arguments, DATABASE_URL=database_url)
    assert (status, out) == (2, "")
    assert "--" in err


async def test_a_key_expires_without_being_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = KeyRing({})
    ring.replace({KeyRing.digest("k"): Caller("key_1", frozenset(Scope), None, time() + 60)})
    request = make_mocked_request("GET", "/", headers={"Authorization": "Bearer k"})
    assert ring.authenticate(request).key_id == "key_1"
    later = time() + 61
    monkeypatch.setattr(auth, "time", lambda: later)
    with pytest.raises(Problem, match="valid key"):
        ring.authenticate(request)


async def test_the_last_use_is_written_when_the_daemon_ends_and_not_by_requests(
    database_url: str, connection: Connection
) -> None:
    made = await keys(database_url, "create", "used", "--scope", "ledger:read")
    last_use = "SELECT last_used_at FROM pedro_ledger.api_key"
    async with Daemon(settings_for(database_url)).started() as running, Api.open(running) as api:
        for _ in range(3):
            assert (await api.get("/v1/users", auth=f"Bearer {made['key']}")).status == 200
        assert await connection.fetchval(last_use) is None
    assert abs((await connection.fetchval(last_use)).timestamp() - time()) < 60


async def test_an_older_use_does_not_overwrite_a_newer_one(database: Database, connection: Connection) -> None:
    await connection.execute(
        "INSERT INTO pedro_ledger.api_key (id, name, hash, scopes) VALUES ('k', 'k', sha256('k'), '{admin}')"
    )
    store = KeyStore(database)
    await store.note_use({"k": 1_000_000.0, "initial": 5.0})
    await store.note_use({"k": 999_999.0})
    assert (await connection.fetchval("SELECT last_used_at FROM pedro_ledger.api_key")).timestamp() == 1_000_000.0


async def test_uses_that_could_not_be_written_are_written_the_next_time(
    database: Database, connection: Connection
) -> None:
    key = "k" * 20
    await connection.execute(
        "INSERT INTO pedro_ledger.api_key (id, name, hash, scopes) VALUES ('k', 'k', $1, '{admin}')",
        KeyRing.digest(key),
    )
    ring = KeyRing.of_one(key, "k")
    refresher = KeyRefresher(ring, KeyStore(database))
    ring.authenticate(make_mocked_request("GET", "/", headers={"Authorization": f"Bearer {key}"}))
    await connection.execute("ALTER TABLE pedro_ledger.api_key RENAME COLUMN last_used_at TO away")
    with pytest.raises(Unavailable):
        await refresher.note_use()
    await refresher.close()
    await connection.execute("ALTER TABLE pedro_ledger.api_key RENAME COLUMN away TO last_used_at")
    await refresher.note_use()
    assert abs((await connection.fetchval("SELECT last_used_at FROM pedro_ledger.api_key")).timestamp() - time()) < 60


async def test_a_key_is_stored_once(connection: Connection) -> None:
    insert = "INSERT INTO pedro_ledger.api_key (id, name, hash, scopes) VALUES ($1, 'k', sha256('k'), '{admin}')"
    await connection.execute(insert, "a")
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute(insert, "b")
