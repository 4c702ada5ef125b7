"""Reports over HTTP and on the command line."""

import asyncio
import csv
import io

import orjson
import pytest

from pedro_ledger.api.http.scopes import Scope
from pedro_ledger.postgres.database import Connection
from pedro_ledger.reports.catalogue import REPORTS, Asked
from tests.support.client import Api
from tests.support.keys import bearer_with
from tests.support.patience import PATIENCE_S
from tests.support.processes import command
from tests.support.rawreports import raw_report


async def spend(api: Api) -> list[str]:
    users = [await api.user(credits) for credits in (100, 3, 0, 500)]
    for user, credits, operation in ((0, 30, "AI_TEXT_CHAT"), (3, 120, "SHORTS_MEDIA"), (3, 1, "AI_TEXT_CHAT")):
        entry = await api.deduct(users[user], credits, operationType=operation)
        assert entry.status == 201
    await api.refund(users[3], entryId=entry.json["entryId"])
    return users


@pytest.mark.parametrize("name", REPORTS)
async def test_a_report_comes_in_every_form_and_equals_the_raw_query(
    api: Api, connection: Connection, name: str
) -> None:
    await spend(api)
    wanted = await raw_report(connection, name, Asked())
    assert wanted
    as_json = await api.get(f"/v1/reports/{name}")
    assert (as_json.status, as_json.json["report"], as_json.json["items"]) == (200, name, wanted)
    as_lines = await api.get(f"/v1/reports/{name}?format=ndjson")
    assert as_lines.headers["Content-Type"].startswith("application/x-ndjson")
    assert [orjson.loads(line) for line in as_lines.body.splitlines()] == wanted
    as_csv = await api.get(f"/v1/reports/{name}?format=csv")
    assert as_csv.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(as_csv.body.decode(), newline="")))
    assert rows == [{column: str(value) for column, value in row.items()} for row in wanted]
    assert as_csv.body.splitlines()[0].decode() == ",".join(REPORTS[name].columns)


async def test_a_report_is_narrowed_by_days_operation_and_limit(api: Api) -> None:
    users = await spend(api)
    path = "/v1/reports/top-users"
    assert [row["userId"] for row in (await api.get(f"{path}?operation=SHORTS_MEDIA")).json["items"]] == [users[3]]
    assert len((await api.get(f"{path}?limit=2")).json["items"]) == 2
    assert (await api.get(f"{path}?until=2020-01-01")).json["items"] == []
    assert (await api.get(f"{path}?since=2020-01-01&until=2999-12-31")).json["items"] == (await api.get(path)).json[
        "items"
    ]


@pytest.mark.parametrize(
    "path",
    [
        "top-users?limit=0", "top-users?limit=x", "top-users?limit=10001", "top-users?since=yesterday", "top-users?since=20260101",
        "top-users?until=2026-13-01", "top-users?since=2026-01-01T00:00:00Z", "top-users?format=xml", "top-users?cursor=x",
        "low-balance?since=2026-01-01", "liability?limit=1", "user-growth?operation=AI_TEXT_CHAT",
        "top-users?limit=1&limit=2", "top-users?since=2026-W01-1",
    ],
)  # fmt: skip
async def test_what_a_report_does_not_take_is_refused(api: Api, path: str) -> None:
    assert (await api.get(f"/v1/reports/{path}")).code == "invalid_query"


async def test_unknown_reports_and_operations_are_told(api: Api) -> None:
    assert (await api.get("/v1/reports/everything")).code == "report_not_found"
    assert (await api.get("/v1/reports/top-users?operation=NOTHING")).code == "unknown_operation_type"


async def test_reports_need_their_scope(api: Api, connection: Connection) -> None:
    others = await bearer_with(api, connection, *(scope for scope in Scope if scope is not Scope.REPORTS))
    assert (await api.get("/v1/reports/liability", auth=others)).code == "scope_missing"


async def test_the_daemon_rolls_up_by_itself(api: Api, connection: Connection) -> None:
    """Its first step comes at once; the second is awaited by the metric that tells of steps."""
    await api.user(100)
    async with asyncio.timeout(PATIENCE_S):
        while await connection.fetchval("SELECT EXISTS (SELECT FROM pedro_ledger.signup_pending)"):
            await asyncio.sleep(0.02)
    assert b"pedro_ledger_rolled_up_changes_total 0.0" not in (await api.get("/metrics", auth=None)).body


async def report(url: str, *arguments: str) -> tuple[int, str, str]:
    return await command("report", *arguments, DATABASE_URL=url)


async def test_the_command_prints_what_the_api_tells(api: Api, database_url: str) -> None:
    users = await spend(api)
    items = (await api.get("/v1/reports/top-users?since=2020-01-01&operation=SHORTS_MEDIA")).json["items"]
    narrowed = ["--since", "2020-01-01", "--operation", "SHORTS_MEDIA"]
    (_, as_json, _), (_, as_csv, _), (_, as_lines, _), (_, as_table, _) = await asyncio.gather(
        report(database_url, "top-users", *narrowed, "--json"),
        report(database_url, "top-users", *narrowed, "--format", "csv"),
        report(database_url, "top-users", *narrowed, "--format", "ndjson"),
        report(database_url, "top-users", *narrowed),
    )
    assert orjson.loads(as_json)["items"] == items
    assert as_csv == f"userId,uses,creditsUsed\n{users[3]},1,120\n"
    assert [orjson.loads(line) for line in as_lines.splitlines()] == items
    assert users[3] in as_table
    assert "creditsUsed" in as_table


async def test_the_command_says_what_is_wrong(database_url: str, prisma_database_url: str) -> None:
    results = await asyncio.gather(
        report(database_url, "everything"),
        report(database_url, "liability", "--since", "2026-01-01"),
        report(database_url, "top-users", "--since", "yesterday"),
        report(database_url, "top-users", "--limit", "0"),
        report(prisma_database_url, "liability"),
        report(database_url, "top-operations", "--operation", "NOPE"),
    )
    assert [status for status, _, _ in results] == [2] * 6
    tellings = (
        "there is no report",
        "takes no --since",
        "--since",
        "--limit",
        "pedro-ledger migrate",
        "there is no operation type NOPE; the types are AI_TEXT_CHAT, ",
    )
    for (_, out, err), told in zip(results, tellings, strict=True):
        assert out == ""
        assert told in err
