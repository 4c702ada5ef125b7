"""`pedro-ledger resync`: users from a Clerk export."""

from pathlib import Path
from typing import Any

import orjson

from pedro_ledger.postgres.database import Connection
from tests.support.client import Api
from tests.support.processes import command
from tests.support.webhooks import clerk, clerk_gone, clerk_user


def exported(clerk_id: str, **changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = clerk_user("created", clerk_id, **changes)["data"]
    return data


async def resync(file: Path, url: str, *options: str) -> tuple[int, Any]:
    status, out, err = await command("resync", str(file), "--json", *options, DATABASE_URL=url)
    assert status in {0, 1}, err
    return status, orjson.loads(out)


async def test_users_are_made_and_changed_once_and_bad_lines_are_told(
    hooked: Api, connection: Connection, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "users.ndjson"
    await hooked.post("/v1/users", {"clerkId": "kept", "email": "kept@example.com"})
    await hooked.post("/v1/users", {"clerkId": "renamed", "email": "renamed@example.com", "name": "Before"})
    await clerk(hooked, clerk_user("created", "gone", at="2026-11-01"))
    await clerk(hooked, clerk_gone("gone", at="2026-11-09"))
    lines: list[Any] = [
        exported("new"),
        b"{not json",
        exported("renamed"),
        b"",
        {"id": "flat", "first_name": "Flat", "primary_email_address": "flat@example.com"},
        {"first_name": "Nobody"},
        exported("gone", at="2026-11-05"),
        b"7",
        exported("last", banned=True),
    ]
    file.write_bytes(b"\n".join(line if isinstance(line, bytes) else orjson.dumps(line) for line in lines))
    counts = {"made": 3, "changed": 1, "unchanged": 0, "stale": 1}
    status, told = await resync(file, database_url, "--dry-run")
    assert (status, told["dryRun"], told | counts) == (1, True, told)
    assert await connection.fetchval('SELECT count(*) FROM public."User"') == 3
    status, told = await resync(file, database_url)
    assert (status, told | counts) == (1, told)
    assert [bad["line"] for bad in told["bad"]] == [2, 6, 8]
    assert told["missing"] == ["kept"]
    rows = await connection.fetch(
        'SELECT "clerkId", "email", "name", "isActive", "creditsRemaining" FROM public."User" JOIN public."CreditBalance"'
        ' ON "userId" = "User"."id" ORDER BY 1'
    )
    assert [tuple(row) for row in rows] == [
        ("flat", "flat@example.com", "Flat", True, 100),
        ("gone", "gone@example.com", "Ana Souza", False, 100),
        ("kept", "kept@example.com", None, True, 100),
        ("last", "last@example.com", "Ana Souza", False, 100),
        ("new", "new@example.com", "Ana Souza", True, 100),
        ("renamed", "renamed@example.com", "Ana Souza", True, 100),
    ]
    before = await connection.fetch('SELECT * FROM public."User" ORDER BY "id"')
    status, told = await resync(file, database_url)
    assert told | {"made": 0, "changed": 0, "unchanged": 4, "stale": 1} == told
    assert await connection.fetch('SELECT * FROM public."User" ORDER BY "id"') == before
    assert await hooked.balance("clerk:new") == 100


async def test_it_says_what_is_wrong_and_what_to_do(
    database_url: str, prisma_database_url: str, tmp_path: Path
) -> None:
    status, _, err = await command("resync", str(tmp_path / "none"), DATABASE_URL=database_url)
    assert (status, "No such file" in err, err.count("\n")) == (2, True, 1)
    status, _, err = await command("resync", str(tmp_path / "none"), DATABASE_URL=prisma_database_url)
    assert (status, "run pedro-ledger migrate first" in err) == (2, True)
    file = tmp_path / "users.ndjson"
    file.write_bytes(orjson.dumps(exported("new")) + b"\nx\n")
    status, out, err = await command("resync", str(file), DATABASE_URL=database_url)
    assert (status, out) == (1, "1 made, 0 changed, 0 unchanged, 0 stale, 1 bad lines\n")
    assert err.startswith("line 2: not JSON")
