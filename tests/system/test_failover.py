"""A failover between two real servers: the daemon finds the primary by itself, without a
restart.
"""

from collections.abc import AsyncIterator, Iterator

import pytest

from pedro_ledger.daemon.app import Daemon
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.databases import TestServer, running_server
from tests.support.loading import deducts
from tests.support.standby import Standby, running_standby, stop

READ_ONLY = ("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")


@pytest.fixture
def bare_primary() -> Iterator[TestServer]:
    """A server of the test's own, for it will be lost."""
    with running_server() as server:
        yield server


@pytest.fixture
async def primary(bare_primary: TestServer) -> TestServer:
    await bare_primary.make_templates()
    return bare_primary


@pytest.fixture
async def standby(primary: TestServer) -> AsyncIterator[Standby]:
    """A synchronous one, so that what was acknowledged is there."""
    with running_standby(primary) as standby:
        await primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        yield standby


def url_of(*servers: TestServer) -> str:
    hosts = ",".join(str(server.server.socket_dir) for server in servers)
    return f"postgresql://postgres@/ledger_template?host={hosts}"


@pytest.mark.parametrize(
    ("how", "attrs"),
    [("lost", ""), ("lost", "&target_session_attrs=primary"), ("read-only", "&target_session_attrs=read-write")],
)
async def test_deducts_go_on_after_a_failover(primary: TestServer, standby: Standby, how: str, attrs: str) -> None:
    settings = settings_for(url_of(primary, standby) + attrs)
    async with Daemon(settings).started() as running, Api.open(running) as api:
        users = [await api.user(10_000) for _ in range(4)]
        async with deducts(api, users, workers=4) as load:
            await load.more(50)
            if how == "lost":
                await stop(primary)
            else:  # its connections stay open
                await primary.execute(*READ_ONLY)
            await standby.execute("SELECT pg_promote()")
            await load.more(50)
        found = {entry["id"] for user in users for entry in await api.statement(user)}
        assert {entry_id for _, entry_id in load.acknowledged} <= found
        assert (await api.get("/readyz", auth=None)).status == 200
        made = await api.post("/v1/users", {"clerkId": "clerk_after"})
        assert made.status == 201


async def test_an_old_primary_that_comes_back_read_only_is_passed_over(primary: TestServer, standby: Standby) -> None:
    settings = settings_for(url_of(primary, standby))
    async with Daemon(settings).started() as running, Api.open(running) as api:
        user = await api.user(100)
        await primary.execute(*READ_ONLY)
        await stop(primary)
        await standby.execute("SELECT pg_promote()")
        while (await api.deduct(user, 1)).status != 201:
            pass
        primary.server.start()
        async with deducts(api, [user], workers=2) as load:
            await load.more(20)
            await standby.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pedro_ledger'"
            )
            await load.more(20)
        assert (await api.get("/readyz", auth=None)).status == 200
        assert {entry_id for _, entry_id in load.acknowledged} <= {entry["id"] for entry in await api.statement(user)}


async def test_without_a_primary_it_is_unready_and_says_so(primary: TestServer, standby: Standby) -> None:
    settings = settings_for(url_of(primary, standby), operation_timeout_s=1)
    async with Daemon(settings).started() as running, Api.open(running) as api:
        user = await api.user(100)
        await stop(primary)
        refused = await api.deduct(user, 1)
        assert (refused.status, refused.code) == (503, "unavailable")
        while (ready := await api.get("/readyz", auth=None)).status != 503:
            pass
        assert "not a writable primary" in str(ready.json["missing"])
