"""Exports over HTTP and on the command line."""

import asyncio
import csv
import hashlib
import io
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet
import pytest
from aiohttp import ClientError

from pedro_ledger.api.http.scopes import Scope
from pedro_ledger.postgres.database import Connection
from pedro_ledger.reports.exports import EXPORTS
from tests.support.client import API_KEY, Api, Reply
from tests.support.keys import bearer_with
from tests.support.patience import until
from tests.support.processes import command

ODD = 'a "quoted", \\ backslash\n\tnew line, ünï € \u2028 and {"json": [1]}'
KEY = {"entries": "seq", "usage": "id", "grants": "seq", "holds": "seq"}


async def live(api: Api) -> list[str]:
    """Users with every kind of entry, and details that no format may bend."""
    plain, lots, holds = [await api.user(100) for _ in range(3)]
    spent = await api.deduct(plain, 30, operationType="AI_TEXT_CHAT", details={"prompt": ODD, "empty": ""})
    assert spent.status == 201
    await api.refund(plain, entryId=spent.json["entryId"], credits=10)
    await api.grant(lots, 50, source="bonus", expiresIn=3600, priority=7)
    assert (await api.deduct(lots, 20, operationType="AI_TEXT_CHAT")).status == 201
    captured, voided, _ = [await api.hold(holds, 20 + number, reference=f"job {number}") for number in range(3)]
    assert (await api.capture(captured.json["entryId"], 5)).status == 201
    assert (await api.void(voided.json["entryId"])).status == 201
    return [plain, lots, holds]


def lines_of(reply: Reply) -> list[dict[str, Any]]:
    """The rows of an NDJSON export, whose end was checked."""
    body, last = reply.body[: reply.body.rfind(b"\n", 0, -1) + 1], orjson.loads(reply.body.splitlines()[-1])
    rows = [orjson.loads(line) for line in body.splitlines()]
    assert last == {"end": True, "rows": len(rows), "sha256": hashlib.sha256(body).hexdigest()}
    return rows


def csv_of(text: bytes) -> list[dict[str, str]]:
    """The rows of a CSV export, whose end was checked."""
    place = text.rindex(b"\n", 0, -1) + 1
    body, last = text[:place], text[place:].decode()
    rows = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    assert last == f"# rows={len(rows)} sha256={hashlib.sha256(body).hexdigest()}\n"
    return rows


def as_text(row: dict[str, Any]) -> dict[str, str]:
    """A row of NDJSON as CSV has it, but for details, whose spaces CSV keeps."""
    return {name: "" if value is None else str(value) for name, value in row.items() if name != "details"}


@pytest.mark.parametrize("name", EXPORTS)
async def test_every_form_has_the_same_rows(api: Api, name: str) -> None:
    await live(api)
    in_lines = lines_of(await api.get(f"/v1/exports/{name}?format=ndjson"))
    assert in_lines
    assert in_lines == sorted(in_lines, key=lambda row: (row["userId"], row[KEY[name]]))
    as_csv = await api.get(f"/v1/exports/{name}")
    assert (as_csv.status, as_csv.headers["Content-Type"]) == (200, "text/csv")
    assert as_csv.headers["Content-Disposition"] == f'attachment; filename="{name}.csv"'
    assert as_csv.headers["X-Request-Id"]
    rows = csv_of(as_csv.body)
    assert [{name: value for name, value in row.items() if name != "details"} for row in rows] == [
        as_text(row) for row in in_lines
    ]
    for row, line in zip(rows, in_lines, strict=True):
        details = row.get("details")
        assert (orjson.loads(details) if details else None) == line.get("details")
    as_parquet = await api.get(f"/v1/exports/{name}?format=parquet")
    table = pyarrow.parquet.read_table(io.BytesIO(as_parquet.body))
    assert table.column_names == list(in_lines[0])
    for row, line in zip(table.to_pylist(), in_lines, strict=True):
        for column, value in row.items():
            if column in {"timestamp", "expiresAt", "createdAt", "closedAt"}:
                assert (value and value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03}Z") == line[
                    column
                ]
            elif column == "details":
                assert (orjson.loads(value) if value else None) == line[column]
            else:
                assert value == line[column], column
    kept = pyarrow.parquet.read_metadata(io.BytesIO(as_parquet.body)).metadata
    said = {key.decode(): value.decode() for key, value in kept.items()}
    assert said["pedro_ledger.rows"] == str(len(in_lines))
    covered = int(said["pedro_ledger.sha256_bytes"])
    assert said["pedro_ledger.sha256"] == hashlib.sha256(as_parquet.body[:covered]).hexdigest()


async def test_entries_are_those_of_the_statements(api: Api) -> None:
    users = await live(api)
    exported = lines_of(await api.get("/v1/exports/entries?format=ndjson"))
    for user in users:
        told = (await api.get(f"/v1/users/{user}/statement?limit=200")).json["items"]
        mine = [row for row in exported if row["userId"] == user]
        assert len(mine) == len(told) > 1
        for row, entry in zip(mine, told, strict=True):
            both = row.keys() & entry.keys()
            assert {"id", "seq", "credits", "balanceAfter", "heldAfter", "hash", "timestamp", "details"} <= both
            assert {name: row[name] for name in both} == {name: entry[name] for name in both}
            assert row["heldChange"] == entry.get("heldChange", 0)


async def test_grants_and_holds_are_those_of_the_api(api: Api) -> None:
    _, lots, holds = await live(api)
    [lot] = [row for row in lines_of(await api.get("/v1/exports/grants?format=ndjson")) if row["priority"] == 7]
    assert (lot["userId"], lot["credits"], lot["creditsLeft"], lot["source"]) == (lots, 50, 30, "bonus")
    rows = lines_of(await api.get("/v1/exports/holds?format=ndjson"))
    assert [(row["reference"], row["state"]) for row in rows] == [
        ("job 0", "captured"), ("job 1", "voided"), ("job 2", "open"),
    ]  # fmt: skip
    for row in rows:
        told = (await api.get(f"/v1/holds/{row['holdId']}")).json
        both = row.keys() & told.keys()
        assert {"userId", "state", "creditsReserved", "creditsHeld", "creditsCaptured", "expiresAt", "closedAt"} <= both
        assert {name: row[name] for name in both} == {name: told[name] for name in both}
        assert row["userId"] == holds


@pytest.mark.parametrize("name", EXPORTS)
async def test_an_export_goes_on_after_any_row(api: Api, name: str) -> None:
    await live(api)
    whole = lines_of(await api.get(f"/v1/exports/{name}?format=ndjson"))
    for number, row in enumerate(whole, 1):
        rest = await api.get(f"/v1/exports/{name}?format=ndjson&after={row['userId']}:{row[KEY[name]]}")
        assert lines_of(rest) == whole[number:]


async def test_an_export_is_narrowed_by_time(api: Api) -> None:
    await live(api)
    whole = lines_of(await api.get("/v1/exports/entries?format=ndjson"))
    moment = sorted(row["timestamp"] for row in whole)[len(whole) // 2]
    before = lines_of(await api.get(f"/v1/exports/entries?format=ndjson&to={moment}"))
    after = lines_of(await api.get(f"/v1/exports/entries?format=ndjson&from={moment}"))
    assert {row["id"] for row in before} == {row["id"] for row in whole if row["timestamp"] < moment}
    assert {row["id"] for row in after} == {row["id"] for row in whole if row["timestamp"] >= moment}
    assert lines_of(await api.get("/v1/exports/usage?format=ndjson&from=2999-01-01T00:00:00Z")) == []
    assert csv_of((await api.get("/v1/exports/usage?from=2999-01-01T00:00:00Z")).body) == []


@pytest.mark.parametrize(
    ("path", "status", "code", "says"),
    [
        ("nothing", 404, "export_not_found", "entries, usage, grants, holds"),
        ("entries?format=xlsx", 400, "invalid_query", "format must be csv, ndjson or parquet"),
        ("entries?after=nobody", 400, "invalid_query", "after must be the userId of a row and its seq"),
        ("entries?after=user:x", 400, "invalid_query", "after must be"),
        ("entries?after=%27%3B--:1", 200, "", ""),
        ("entries?from=yesterday", 400, "invalid_query", "from must be an RFC 3339 time"),
        ("entries?limit=5", 400, "invalid_query", "limit"),
    ],
)
async def test_what_is_asked_wrongly_is_told(api: Api, path: str, status: int, code: str, says: str) -> None:
    reply = await api.get(f"/v1/exports/{path}")
    assert reply.status == status, reply.body
    if status != 200:
        assert reply.code == code
        assert says in reply.json["detail"]


async def test_only_keys_for_reports_export(api: Api, connection: Connection) -> None:
    for scope, status in ((Scope.READ, 403), (Scope.REPORTS, 200)):
        bearer = await bearer_with(api, connection, scope)
        assert (await api.get("/v1/exports/entries", auth=bearer)).status == status


async def test_an_export_that_fails_midway_is_cut(
    api: Api, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller must never take a part for the whole: neither an end line nor an end of the body."""
    monkeypatch.setattr("pedro_ledger.reports.exports.WRITE_BYTES", 1)
    await live(api)
    await connection.execute("ALTER TABLE pedro_ledger.entry DISABLE TRIGGER USER")
    last = await connection.fetchrow(
        "SELECT user_id, seq FROM pedro_ledger.entry ORDER BY user_id DESC, seq DESC LIMIT 1"
    )
    await connection.execute("UPDATE pedro_ledger.entry SET effects = '{' WHERE user_id = $1 AND seq = $2", *last)
    got = bytearray()
    headers = {"Authorization": f"Bearer {API_KEY}"}
    with pytest.raises(ClientError):
        async with api.session.get(f"{api.address}/v1/exports/entries", headers=headers) as response:
            assert response.status == 200
            async for piece in response.content.iter_any():
                got += piece
    assert got.startswith(b"userId,seq")
    assert b"# rows=" not in got
    assert (await api.get("/livez")).status == 200


async def test_more_exports_than_slots_are_refused_and_those_who_leave_free_theirs(api: Api) -> None:
    await live(api)
    slots = api.parts.export_slots
    async with slots, slots:
        refused = await api.get("/v1/exports/entries")
        assert (refused.status, refused.code) == (503, "overloaded")
        assert refused.headers["Retry-After"]
    assert (await api.get("/v1/exports/entries")).status == 200


async def test_the_command_writes_a_file_that_is_whole(api: Api, database_url: str, tmp_path: Path) -> None:
    await live(api)
    file = tmp_path / "entries.csv"

    async def run(*arguments: str) -> tuple[int, str, str]:
        return await command("export", *arguments, DATABASE_URL=database_url)

    status, out, err = await run("entries", "--json", "-o", str(file))
    assert status == 0, err
    told = orjson.loads(out)
    assert csv_of(file.read_bytes()) == csv_of((await api.get("/v1/exports/entries")).body)
    assert (told["rows"], told["bytes"]) == (len(csv_of(file.read_bytes())), file.stat().st_size)
    assert [each.name for each in tmp_path.iterdir()] == ["entries.csv"]
    status, _, err = await run("entries", "-o", str(file))
    assert (status, "exists: name another file, or say --replace" in err) == (2, True)
    status, out, err = await run("usage", "-o", "-", "--format", "ndjson")
    assert (status, out) == (0, (await api.get("/v1/exports/usage?format=ndjson")).body.decode())
    assert "rows" in err
    status, _, err = await run("usage", "-o", str(tmp_path / "nowhere" / "usage.csv"))
    assert (status, err.count("\n"), "cannot be written" in err) == (2, 1, True)
    status, _, err = await run("nothing")
    assert (status, "the exports are entries, usage, grants, holds" in err) == (2, True)


async def test_a_receiver_who_does_not_read_is_cut_and_frees_its_slot(
    api: Api, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of them would keep everybody from exporting, and their snapshots from being vacuumed."""
    monkeypatch.setattr("pedro_ledger.api.http.streaming.TAKEN_WITHIN_S", 0.2)
    user = await api.user(100)
    for _ in range(20):
        details = {"prompt": "x" * 900_000}
        assert (await api.deduct(user, 1, operationType="AI_TEXT_CHAT", details=details)).status == 201
    host, port = api.address.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port), limit=1)
    writer.write(f"GET /v1/exports/entries HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n\r\n".encode())
    slots = api.parts.export_slots
    await until(lambda: slots._value == 1, "the export does not begin")
    await until(lambda: slots._value == 2, "it is held for whoever does not read")
    writer.transport.abort()
