"""The large ledger is as if the daemon had written it."""

from pedro_ledger.cli.verify import audit
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.tools.bench import size
from pedro_ledger.tools.bench.rig import user_name
from tests.support.client import Api


async def test_what_is_loaded_verifies(database_url: str) -> None:
    await size.load(database_url, 40, 200)
    reports = await audit(Database(parse_database_url(database_url)), quiet=True)
    assert [problem for report in reports for problem in report.problems] == []
    assert sum(report.users for report in reports) == 40
    assert sum(report.entries for report in reports) == 200


async def test_the_daemon_goes_on_from_what_is_loaded(database_url: str, api: Api) -> None:
    await size.load(database_url, 3, 12)
    reply = await api.deduct(user_name(2), 1)
    assert reply.status == 201
    assert reply.json["seq"] == 5
    assert reply.json["creditsRemaining"] == size.CREDITS - 4
    statement = await api.statement(user_name(2))
    assert [entry["balanceAfter"] for entry in statement] == [size.CREDITS - used for used in range(5)]


def test_chunks_cover_everyone_once() -> None:
    assert list(size._chunks(10, 4)) == [(1, 4), (5, 8), (9, 10)]
