"""Reports, statements and usage from a real streaming replica, while it keeps up; else from the
primary.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack

import pytest

from pedro_ledger.daemon.app import Daemon
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.databases import TestServer, running_server
from tests.support.patience import PATIENCE_S
from tests.support.processes import command
from tests.support.standby import Standby, running_standby

PATHS = ("statement", "usage")


@pytest.fixture(scope="module")
def bare_primary() -> Iterator[TestServer]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
async def primary(bare_primary: TestServer) -> TestServer:
    await bare_primary.make_templates()
    return bare_primary


@pytest.fixture(scope="module")
def standby(primary: TestServer) -> Iterator[Standby]:
    with running_standby(primary) as standby:
        yield standby


@pytest.fixture
async def url(primary: TestServer) -> AsyncIterator[Callable[[TestServer], str]]:
    """The URL of the test's own database, on the server that is asked for."""
    name = await primary.clone("ledger_template")
    yield lambda server: server.url(name)
    await primary.drop(name)


class Daemons:
    """Starts daemons with a replica; all end with the test."""

    def __init__(self, stack: AsyncExitStack, primary_url: str, replica_url: str) -> None:
        self._stack = stack
        self._urls = primary_url, replica_url

    async def start(self, **changes: object) -> Api:
        primary_url, replica_url = self._urls
        settings = settings_for(primary_url, **{"DATABASE_REPLICA_URL": replica_url, **changes})
        running = await self._stack.enter_async_context(Daemon(settings).started())
        return await self._stack.enter_async_context(Api.open(running))


@pytest.fixture
async def daemons(
    primary: TestServer, standby: Standby, url: Callable[[TestServer], str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Daemons]:
    monkeypatch.setattr("pedro_ledger.daemon.loops.CHECK_INTERVAL_S", 0.02)
    monkeypatch.setattr("pedro_ledger.postgres.replica.CHECK_TIMEOUT_S", PATIENCE_S)
    async with AsyncExitStack() as stack:
        yield Daemons(stack, url(primary), url(standby))


async def metric(api: Api, name: str) -> float:
    found = re.search(
        rf"^pedro_ledger_{name} (\S+)$", (await api.get("/metrics", auth=None)).body.decode(), re.MULTILINE
    )
    assert found is not None
    return float(found.group(1))


async def lag(api: Api, holds: Callable[[float], bool]) -> None:
    """Wait until the metric says so; it moves with each check."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds(await metric(api, "replica_lag_seconds")):
            await asyncio.sleep(0.01)


async def lengths(api: Api, user: str) -> tuple[int, ...]:
    """How many lines the statement and the usage of a user have, and how many uses the report
    tells.
    """
    lists = [len((await api.get(f"/v1/users/{user}/{path}")).json["items"]) for path in PATHS]
    operations = (await api.get("/v1/reports/top-operations")).json["items"]
    return *lists, sum(row["uses"] for row in operations)


async def test_the_replica_answers_what_may_be_late_and_the_primary_the_rest(
    daemons: Daemons, standby: Standby
) -> None:
    api = await daemons.start(replica_lag_max_s=600)
    await lag(
        api, lambda seconds: seconds < 600
    )  # not from the start: the test's database has yet to reach the replica
    passed_over = await metric(api, "replica_passed_over_total")
    user = await api.user(100)
    await api.deduct(user, 1)
    async with asyncio.timeout(PATIENCE_S):
        while await lengths(api, user) != (2, 1, 1):
            await asyncio.sleep(0.01)
    await standby.replay("pause")
    try:
        entry = (await api.deduct(user, 1)).json["entryId"]
        assert await lengths(api, user) == (2, 1, 1), "the replica is paused, so it was not asked"
        assert await api.balance(user) == 98
        assert (await api.get(f"/v1/entries/{entry}")).status == 200
    finally:
        await standby.replay("resume")
    async with asyncio.timeout(PATIENCE_S):
        while await lengths(api, user) != (3, 2, 2):
            await asyncio.sleep(0.01)
    assert await metric(api, "replica_passed_over_total") == passed_over


class Checks:
    """Checks of a daemon that makes none by itself, at times that the test says."""

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        self._reader = api.parts.reports._reader
        monkeypatch.setattr("pedro_ledger.postgres.replica.monotonic", lambda: self.now_s)

    async def until(self, holds: Callable[[float], bool], *, step_s: float = 0) -> None:
        """Check until the lag is as told; the clock moves by `step_s` before each."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                self.now_s += step_s
                if holds(await self._reader.check()):
                    return
                await asyncio.sleep(0.01)


async def test_a_replica_that_lags_is_passed_over_until_it_has_caught_up(
    daemons: Daemons, standby: Standby, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pedro_ledger.daemon.loops.CHECK_INTERVAL_S", 3600)
    api = await daemons.start(replica_lag_max_s=0.3)
    checks = Checks(api, monkeypatch)
    user = await api.user(100)
    await checks.until(lambda seconds: seconds == 0)
    passed_over = await metric(api, "replica_passed_over_total")
    await standby.replay("pause")
    try:
        await api.deduct(user, 1)
        await checks.until(lambda seconds: seconds > 0.3, step_s=0.31)
        assert await metric(api, "replica_lag_seconds") == pytest.approx(checks.now_s - 1000)
        assert await lengths(api, user) == (2, 1, 1)
        assert await metric(api, "replica_passed_over_total") == passed_over + 3
    finally:
        await standby.replay("resume")
    await checks.until(lambda seconds: seconds == 0)
    assert await lengths(api, user) == (2, 1, 1)
    assert await metric(api, "replica_passed_over_total") == passed_over + 3


async def test_a_replica_that_lost_its_primary_does_not_look_fresh(
    daemons: Daemons, standby: Standby, primary: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has replayed all that it received, and receives nothing more."""
    monkeypatch.setattr("pedro_ledger.daemon.loops.CHECK_INTERVAL_S", 3600)
    api = await daemons.start(replica_lag_max_s=0.3)
    checks = Checks(api, monkeypatch)
    await checks.until(lambda seconds: seconds == 0)
    await standby.execute("ALTER SYSTEM SET primary_conninfo = 'host=/nowhere'", "SELECT pg_reload_conf()")
    try:
        user = await api.user(100)
        async with asyncio.timeout(PATIENCE_S):
            while await standby.is_receiving():
                await asyncio.sleep(0.01)
        await api.deduct(user, 1)
        await checks.until(lambda seconds: seconds > 0.3, step_s=0.31)
    finally:
        await standby.execute("ALTER SYSTEM RESET primary_conninfo")
        conninfo = f"host={primary.server.socket_dir} user=postgres"
        await standby.execute(f"ALTER SYSTEM SET primary_conninfo = '{conninfo}'", "SELECT pg_reload_conf()")
    await checks.until(lambda seconds: seconds == 0)


async def test_when_the_replica_is_gone_the_primary_answers_at_once(daemons: Daemons, standby: Standby) -> None:
    api = await daemons.start(replica_lag_max_s=600)
    user = await api.user(100)
    await lag(api, lambda seconds: seconds < 600)
    await standby.stop()
    try:
        assert await lengths(api, user) == (1, 0, 0)
        await lag(api, lambda seconds: seconds == float("inf"))
        assert (await api.deduct(user, 1)).status == 201
        assert await lengths(api, user) == (2, 1, 1)
        without = await daemons.start()
        assert await lengths(without, user) == (2, 1, 1)
        assert (await without.get("/readyz", auth=None)).status == 200
    finally:
        await standby.start()
    await lag(api, lambda seconds: seconds < 600)
    passed_over = await metric(api, "replica_passed_over_total")
    assert await lengths(api, user) == (2, 1, 1)
    assert await metric(api, "replica_passed_over_total") == passed_over


async def test_a_read_that_finds_the_replica_gone_is_answered_by_the_primary(
    daemons: Daemons, standby: Standby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any check has noticed."""
    monkeypatch.setattr("pedro_ledger.daemon.loops.CHECK_INTERVAL_S", 3600)
    api = await daemons.start(replica_lag_max_s=3600)
    user = await api.user(100)
    async with asyncio.timeout(PATIENCE_S):
        while await api.parts.reports._reader.check() > 3600:  # the test's database has yet to reach the replica
            await asyncio.sleep(0.01)
    passed_over = await metric(api, "replica_passed_over_total")
    await standby.stop()
    try:
        assert (await lengths(api, user))[0] == 1
        assert await metric(api, "replica_passed_over_total") == passed_over + 3
    finally:
        await standby.start()


async def test_a_server_that_is_no_replica_of_ours_is_not_read(
    daemons: Daemons, url: Callable[[TestServer], str], primary: TestServer, database_url: str
) -> None:
    for wrong in (url(primary), database_url):
        api = await daemons.start(DATABASE_REPLICA_URL=wrong)
        user = await api.user(100)
        await lag(api, lambda seconds: seconds == float("inf"))
        assert (await lengths(api, user))[0] == 1


async def test_the_command_works_with_a_replica_that_lags_or_is_gone(
    daemons: Daemons, standby: Standby, primary: TestServer, url: Callable[[TestServer], str]
) -> None:
    api = await daemons.start()
    urls = {"DATABASE_URL": url(primary), "DATABASE_REPLICA_URL": url(standby)}
    await standby.replay("pause")
    try:
        await api.user(100)
        lagging = await command("report", "user-growth", "--format", "csv", **urls)
    finally:
        await standby.replay("resume")
    gone = await command(
        "report", "user-growth", "--format", "csv", **urls | {"DATABASE_REPLICA_URL": "postgresql://127.0.0.1:1/x"}
    )
    for status, out, err in (lagging, gone):
        assert (status, out.splitlines()[0], out[-3:]) == (0, "day,users", ",1\n"), err
