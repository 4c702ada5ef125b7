"""The daemon behind a pooler that gives every transaction another session."""

import signal

import orjson
import pytest

from tests.support.client import Api
from tests.support.databases import TestServer
from tests.support.loading import deducts
from tests.support.pooler import pooler
from tests.support.processes import command, served


async def test_the_daemon_serves_through_a_transaction_pooler(server: TestServer, database_url: str) -> None:
    name = database_url.partition("@/")[2].partition("?")[0]
    # Session settings do not get through a pooler.
    await server.execute(f"ALTER DATABASE {name} SET timezone = 'America/Sao_Paulo'")
    async with pooler(database_url, servers=3) as url:
        variables = {"DATABASE_URL": f"{url}&connection_limit=5&pool_timeout=10", "DIRECT_URL": database_url}
        async with served(**variables) as daemon, Api.at(daemon.address) as api:
            users = [await api.user(10_000) for _ in range(6)]
            async with deducts(api, users, workers=24) as load:
                await load.more(300)
                for user in users:
                    assert (await api.get(f"/v1/users/{user}/usage?limit=5")).status == 200
                    assert (await api.get(f"/v1/users/{user}/statement?limit=5")).status == 200
                await load.more(300)
            assert load.refused == []
            spent = sum([10_000 - await api.balance(user) for user in users])
            refunds = sum([each["type"] == "refund" for user in users for each in await api.statement(user)])
            assert spent == len(load.acknowledged) - 2 * refunds
            assert (await api.get("/readyz", auth=None)).status == 200
            exported = await api.get("/v1/exports/entries?format=ndjson")
            assert orjson.loads(exported.body.splitlines()[-1])["rows"] == exported.body.count(b"\n") - 1 > 600
            newest = (await api.get(f"/v1/users/{users[0]}/usage?limit=1")).json["items"][0]["timestamp"]
            assert abs((load.acknowledged[-1][0] - load.moment(newest)).total_seconds()) < 600
            assert await daemon.end(signal.SIGTERM) == 0
        status, out, err = await command("verify", "--json", **variables)
        assert (status, orjson.loads(out)["problems"]) == (0, []), err


@pytest.mark.parametrize("what", ["migrate", "backup", "restore", "partition", "seed"])
async def test_what_needs_a_session_asks_for_the_direct_url(
    server: TestServer, database_url: str, prisma_database_url: str, what: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("archive") / "ledger.dump"
    arguments = {"backup": ("backup", str(file)), "restore": ("restore", str(file))}.get(what, (what,))
    if what == "restore":
        file.write_bytes(b"PGDMP")
    async with pooler(prisma_database_url if what == "migrate" else database_url, servers=2) as url:
        status, _, err = await command(*arguments, DATABASE_URL=url)
    assert (status, "set DIRECT_URL" in err) == (2, True), err
