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
    await lose(api, await api.user(20))
    return users


async def lose(api: Api, user: str) -> None:
    """Credits that cannot be collected, are held, lapse, expire and roll over; of 20 credits."""
    captured = (await api.hold(user, 5, operationType="AI_VIDEO_GENERATION")).json["entryId"]
    assert (await api.capture(captured, 100, overage="cap")).json["creditsUncollected"] == 80
    for source, days in (("promo", 5), ("bonus", 20), ("topup", 80), ("topup", 100)):
        await api.grant(user, 7, source=source, expiresIn=days * 86_400)
    assert (await api.hold(user, 4)).status == 201
    lapsing = (await api.hold(user, 3, lease=5)).json["entryId"]
    await api.grant(user, 10, source="promo", expiresIn=1, rollover={"percent": 40, "expiresIn": 50 * 86_400})
    await api.grant(user, 6, source="plan", expiresIn=1)
    while (await api.get(f"/v1/holds/{lapsing}")).json["state"] == "open":
        await asyncio.sleep(0.1)
    while (await api.get(f"/v1/users/{user}/balance")).json.get("pendingEntries"):
        await asyncio.sleep(0.1)


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


async def test_what_is_lost_is_told_by_month_and_source(api: Api) -> None:
    await lose(api, await api.user(20))
    month = (await api.get("/v1/users?limit=1")).json["items"][0]["createdAt"][:7]
    assert (await api.get("/v1/reports/breakage")).json["items"] == [
        {"month": month, "source": "plan", "creditsExpired": 6, "creditsRolledOver": 0},
        {"month": month, "source": "promo", "creditsExpired": 6, "creditsRolledOver": 4},
    ]
    (holds,) = (await api.get("/v1/reports/holds")).json["items"]
    assert holds.pop("oldestAt") is not None
    assert holds == {"holdsOpen": 1, "creditsHeld": 4, "holdsLapsed": 1, "creditsLapsed": 3, "creditsUncollected": 80}
    (owed,) = (await api.get("/v1/reports/liability")).json["items"]
    expiring = [owed[f"creditsExpiring{days}Days"] for days in (7, 30, 90)]
    assert expiring == [7, 10, 7 + 3 + 7 + 4], "the bonus is held from first"
    assert (await api.get("/v1/reports/breakage?until=2020-01-01")).json["items"] == []
    told = (await api.get("/metrics", auth=None)).body.decode()
    for outcome, count, credits in (
        ("expired", 2, 16),
        ("rolled_over", 1, 4),
        ("lapsed", 1, 3),
        ("uncollected", 1, 80),
    ):
        assert f'pedro_ledger_credit_outcomes_total{{outcome="{outcome}"}} {count}.0' in told
        assert f'pedro_ledger_outcome_credits_total{{outcome="{outcome}"}} {credits}.0' in told
    assert 'pedro_ledger_credit_outcomes_total{outcome="captured_late"} 0.0' in told
    while "pedro_ledger_open_holds 1.0\n" not in (told := (await api.get("/metrics", auth=None)).body.decode()):
        await asyncio.sleep(0.2)
    assert "pedro_ledger_credits_held 4.0\n" in told


async def test_a_late_capture_is_counted(api: Api) -> None:
    user = await api.user(50)
    for lapses in (True, False):
        hold = (await api.hold(user, 9, expiresIn=5 if lapses else 60)).json["entryId"]
        while lapses and (await api.get(f"/v1/holds/{hold}")).json["state"] == "open":
            await asyncio.sleep(0.1)
        assert (await api.capture(hold, 7, overage="cap")).status == 201
    told = (await api.get("/metrics", auth=None)).body.decode()
    assert 'pedro_ledger_credit_outcomes_total{outcome="captured_late"} 1.0' in told
    assert 'pedro_ledger_outcome_credits_total{outcome="captured_late"} 7.0' in told


async def test_a_hold_that_lapses_with_nothing_left_is_counted(api: Api, connection: Connection) -> None:
    user = await api.user(50)
    hold = (await api.hold(user, 9, expiresIn=5)).json["entryId"]
    assert (await api.capture(hold, 9, final=False)).status == 201
    while await connection.fetchval("SELECT due_at IS NOT NULL FROM pedro_ledger.account WHERE user_id = $1", user):
        await asyncio.sleep(0.1)
    rows = await connection.fetch("SELECT outcome, credits FROM pedro_ledger.credit_outcome")
    assert [tuple(row) for row in rows] == [("lapsed", 0)]
    assert (await api.deduct(user, 41)).status == 201, "the user is served"
