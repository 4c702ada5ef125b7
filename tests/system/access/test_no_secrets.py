"""Whatever a daemon goes through, no secret that it was given is in what it says."""

import signal
from pathlib import Path

import aiohttp
import asyncpg
import orjson

from tests.support.databases import temporary_folder
from tests.support.patience import until
from tests.support.processes import command, served

API_KEY = "pedro_of-the-settings-5f0c1d2e3b4a59687706"
PASSWORD = "dsn-password-81c3a9d2e4"
WEBHOOK = "whsec_" + "c2VjcmV0LW9mLWNsZXJrLTAxMjM0NTY3ODk="
ASAAS = "asaas-token-0123456789abcdef0123456789abcdef"
TOKEN = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIn0.eyJzdWIiOiJzZWNyZXQtc3ViamVjdCJ9.c2VjcmV0LXNpZ25hdHVyZQ"
SENT_BY_A_STRANGER = "pedro_a-key-that-was-mistyped-77aa88bb99"


async def test_no_secret_is_in_the_logs_or_in_an_answer(database_url: str, connection: asyncpg.Connection) -> None:  # type: ignore[type-arg]
    settings = {
        "DATABASE_URL": database_url.replace("//postgres@", f"//postgres:{PASSWORD}@"),
        "PEDRO_API_KEY": API_KEY,
        "PEDRO_CLERK_WEBHOOK_SECRETS": WEBHOOK,
        "PEDRO_ASAAS_WEBHOOK_TOKENS": ASAAS,
        "PEDRO_CLERK_JWKS_URL": "http://127.0.0.1:9/keys",
        "PEDRO_LOG_LEVEL": "debug",
        "PEDRO_LOG_FORMAT": "json",
        "PEDRO_ACCESS_LOG": "true",
        "PEDRO_SLOW_QUERY_MS": "1",
        "PEDRO_KEYS_REFRESH_S": "0.05",
    }
    status, out, err = await command("keys", "create", "x", "--scope", "admin", "--json", DATABASE_URL=database_url)
    assert status == 0, err
    made = str(orjson.loads(out)["key"])
    with temporary_folder() as folder:
        log = folder / "log"
        log.touch()
        answers = await lived_through(settings, made, connection, log)
        said = log.read_text()
    assert "internal_error" in said, "the run was to have had a mistake with its trace"
    assert '"event":"request"' in said
    for name, secret in {
        "the first key": API_KEY,
        "a key of the database": made,
        "a key that is not known": SENT_BY_A_STRANGER,
        "the database's password": PASSWORD,
        "Clerk's secret": WEBHOOK.removeprefix("whsec_"),
        "Asaas's token": ASAAS,
        "a customer's token": TOKEN.rpartition(".")[2],
    }.items():
        assert secret not in said, f"{name} is in the log"
        assert secret not in answers, f"{name} is in an answer"


def has_missed_its_keys(log: Path) -> bool:
    return any('"loop_failed"' in line and '"keys"' in line for line in log.read_text().splitlines())


async def lived_through(settings: dict[str, str], made: str, connection: asyncpg.Connection, log: Path) -> str:  # type: ignore[type-arg]
    """What the daemon printed and answered, from its start over mistakes of callers, of its own and
    of the server, to its end.
    """
    answers = []
    async with served(log=log, **settings) as daemon, aiohttp.ClientSession() as session:  # type: ignore[arg-type]

        async def call(method: str, path: str, key: str, body: bytes | None = None, **headers: str) -> None:
            sent = {"Authorization": f"Bearer {key}", **headers}
            async with session.request(method, daemon.address + path, data=body, headers=sent) as reply:
                answers.append(str(reply.headers) + await reply.text())

        user = b'{"clerkId": "ana"}'
        for key in (API_KEY, made, SENT_BY_A_STRANGER, TOKEN):
            await call("POST", "/v1/users", key, user)
            await call("POST", "/v1/users/clerk:ana/grants", key, b"{", **{"Idempotency-Key": "k"})
            await call("GET", "/v1/users/clerk:ana/balance", key)
            await call("GET", "/nowhere", key)
        await call("POST", "/v1/webhooks/asaas", "-", b"{}", **{"asaas-access-token": ASAAS})
        await call("POST", "/v1/webhooks/asaas", "-", b"{}", **{"asaas-access-token": ASAAS + "x"})
        await call(
            "POST",
            "/v1/webhooks/clerk",
            "-",
            b"{}",
            **{"svix-id": "1", "svix-timestamp": "1", "svix-signature": "v1,x"},
        )
        await connection.execute('ALTER TABLE "User" RENAME TO "UserAway"')
        await call("GET", "/v1/users", API_KEY)
        await call("POST", "/v1/users", API_KEY, user)
        await connection.execute('ALTER TABLE "UserAway" RENAME TO "User"')
        await connection.execute("ALTER TABLE pedro_ledger.entry RENAME COLUMN price TO away")
        await call("GET", "/v1/users/clerk:ana/statement", API_KEY)
        await connection.execute("ALTER TABLE pedro_ledger.entry RENAME COLUMN away TO price")
        await connection.execute("ALTER TABLE pedro_ledger.api_key RENAME TO api_key_away")
        await until(lambda: has_missed_its_keys(log), "the daemon does not miss its table of keys")
        await connection.execute("ALTER TABLE pedro_ledger.api_key_away RENAME TO api_key")
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await call("GET", "/v1/users", API_KEY)
        await call("GET", "/openapi.json", API_KEY)
        await call("GET", "/metrics", API_KEY)
        assert await daemon.end(signal.SIGTERM) == 0
        return "\n".join([*daemon.printed, *answers])
