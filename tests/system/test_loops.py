"""Every background loop of a real daemon outlives a real SQL error: counted, logged, told by
/readyz, healed without a restart.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from structlog.testing import capture_logs

from pedro_ledger.api import readiness
from pedro_ledger.daemon.app import Daemon
from pedro_ledger.daemon.looper import Looper
from pedro_ledger.engine.registry import ActorRegistry
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.replica import Reader
from pedro_ledger.proofs.signing import make_key
from pedro_ledger.store.schema.obstacles import SchemaWatcher
from pedro_ledger.store.schema.partitions import PartitionKeeper
from pedro_ledger.streams.broadcaster import Broadcaster
from pedro_ledger.telemetry.metrics import Metrics
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.patience import PATIENCE_S

Settings = dict[str, Any]


class Trouble(NamedTuple):
    """A loop, and how what it reads goes away and comes back."""

    loop: str
    breaks: str
    mends: str
    is_vital: bool = False
    at_start: bool = False
    """Before the daemon starts: the loop's next tick would be minutes away."""

    def __str__(self) -> str:
        return self.loop


def table(loop: str, name: str, **more: bool) -> Trouble:
    schema, _, own = name.rpartition(".")
    prefix = f"{schema}." if schema else ""
    return Trouble(loop, f"ALTER TABLE {name} RENAME TO away", f"ALTER TABLE {prefix}away RENAME TO {own}", **more)


def column(loop: str, of: str, name: str, **more: bool) -> Trouble:
    return Trouble(
        loop, f"ALTER TABLE {of} RENAME COLUMN {name} TO away", f"ALTER TABLE {of} RENAME COLUMN away TO {name}", **more
    )


TROUBLES = (
    table("recurring", "pedro_ledger.recurring_grant"),
    table("keys", "pedro_ledger.api_key", is_vital=True),
    column("prices", 'public."AdminSettings"', '"featureCosts"', is_vital=True),
    column("key_uses", "pedro_ledger.api_key", "last_used_at"),
    column("due", "pedro_ledger.account", "due_at"),
    table("refusals", "pedro_ledger.refusal", at_start=True),
    table("rollups", "pedro_ledger.usage_pending"),
    table("partitions", 'public."UsageHistory"', at_start=True),
    table("webhooks", "pedro_ledger.webhook_delivery", at_start=True),
    table("event_plans", "pedro_ledger.event_plan_progress"),
    table("webhook_purge", "pedro_ledger.webhook_delivery", at_start=True),
    table("checkpoints", "pedro_ledger.checkpoint"),
)


MISTAKES = (
    ("streams", Broadcaster, "_known", "failing"),
    ("deadlines", ActorRegistry, "evict_idle", "missing"),
    ("replica", Reader, "_measure", "failing"),
    ("schema", SchemaWatcher, "look", "failing"),
)


@pytest.fixture
def settings(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a daemon that has every loop, and tells at once of those that fail.

    The replica is none, and only checked.
    """
    monkeypatch.setattr(readiness, "FAILING_TOLD_S", 1e-9)
    monkeypatch.setattr("pedro_ledger.daemon.loops.NOTE_USE_EVERY_S", 0.05)
    make_key(tmp_path / "key.pem")
    return {
        "DATABASE_REPLICA_URL": database_url,
        "rollup_interval_s": 0.05,
        "checkpoint_every_s": 0.55,
        "checkpoint_file": tmp_path / "checkpoints.ndjson",
        "checkpoint_key_file": tmp_path / "key.pem",
    }


class Loops:
    """What a daemon says of its loops."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def metric(self, name: str, loop: str) -> float:
        exposed = (await self._api.get("/metrics", auth=None)).body.decode()
        return float(exposed.partition(f'\npedro_ledger_loop_{name}{{loop="{loop}"}} ')[2].split()[0])

    async def until(self, is_so: Callable[[float], bool], name: str, loop: str) -> None:
        """Ask until it is so, as any caller would: with a key, whose use is noted."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_so(await self.metric(name, loop)):
                await self._api.get("/v1/plans")
                await asyncio.sleep(0.02)

    async def told(self, loop: str) -> str:
        """Under what /readyz names the loop; empty where it does not."""
        reply = await self._api.get("/readyz", auth=None)
        assert (reply.json["status"], "missing" in reply.json) in {("ready", False), ("not ready", True)}
        assert reply.status == (503 if "missing" in reply.json else 200)
        places = [
            place
            for place in ("missing", "failing")
            if any(line.startswith(f"{loop}: failing for ") for line in reply.json.get(place, ()))
        ]
        return ", ".join(places)

    async def until_told(self, loop: str, place: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await self.told(loop) != place:
                await asyncio.sleep(0.02)

    async def until_well(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while (await self._api.get("/readyz", auth=None)).json != {"status": "ready"}:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def daemon(database_url: str, settings: Settings) -> AsyncIterator[tuple[Api, Loops]]:
    async with Daemon(settings_for(database_url, **settings)).started() as running, Api.open(running) as api:
        yield api, Loops(api)


def events(logs: Sequence[Any], loop: str) -> list[tuple[str, bool]]:
    """What was logged of a loop, and whether with a traceback."""
    return [(line["event"], line.get("exc_info") is not None) for line in logs if line.get("loop") == loop]


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
async def test_a_loop_outlives_an_sql_error(
    trouble: Trouble, database_url: str, connection: Connection, settings: Settings
) -> None:
    loop = trouble.loop
    if trouble.at_start:
        await connection.execute(trouble.breaks)
    with capture_logs() as logs:
        async with daemon(database_url, settings) as (_, loops):
            if not trouble.at_start:
                await loops.until_well()
                assert await loops.metric("failures_total", loop) == 0
                await connection.execute(trouble.breaks)
            await loops.until(lambda failures: failures >= 2, "failures_total", loop)
            assert await loops.metric("failing_seconds", loop) > 0
            await loops.until_told(loop, "missing" if trouble.is_vital else "failing")
            worked_until = await loops.metric("last_success_seconds", loop)
            await connection.execute(trouble.mends)
            await loops.until(lambda failing_s: failing_s == 0, "failing_seconds", loop)
            await loops.until(lambda at_s: at_s > worked_until, "last_success_seconds", loop)
            await loops.until_well()
    assert events(logs, loop) == [("loop_failed", True), ("loop_recovered", False)]
    reason = next(line["reason"] for line in logs if line.get("loop") == loop)
    assert reason.startswith(("UndefinedTableError: ", "UndefinedColumnError: "))


async def test_every_loop_of_the_daemon_has_its_trouble_here(database_url: str, settings: Settings) -> None:
    async with daemon(database_url, settings) as (api, _):
        exposed = (await api.get("/metrics", auth=None)).body.decode()
    named = {
        line.split('"')[1] for line in exposed.splitlines() if line.startswith("pedro_ledger_loop_failures_total{")
    }
    assert named == {trouble.loop for trouble in TROUBLES} | {mistake[0] for mistake in MISTAKES}


@pytest.mark.parametrize(("loop", "of", "part", "place"), MISTAKES)
async def test_a_loop_outlives_a_mistake_of_ours(
    loop: str, of: type, part: str, place: str, database_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These read nothing, or take every SQL error for an answer; so what fails is a part of the
    daemon.
    """
    monkeypatch.setattr("pedro_ledger.store.schema.obstacles.WATCH_EVERY_S", 0.0)
    with monkeypatch.context() as broken, capture_logs() as logs:
        async with daemon(database_url, settings) as (_, loops):
            broken.delattr(of, part)
            await loops.until(lambda failures: failures >= 2, "failures_total", loop)
            await loops.until_told(loop, place)
            broken.undo()
            await loops.until_well()
    assert events(logs, loop) == [("loop_failed", True), ("loop_recovered", False)]
    if loop == "replica":
        reasons = {line["reason"] for line in logs if line["event"] == "replica_not_used"}
        assert reasons == {"it is no standby", "it cannot be checked"}


async def test_a_loop_that_has_just_failed_is_not_told_yet(
    database_url: str, connection: Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "FAILING_TOLD_S", 3600)
    async with daemon(database_url, settings) as (api, loops):
        await connection.execute("ALTER TABLE pedro_ledger.api_key RENAME TO away")
        await loops.until(lambda failures: failures >= 1, "failures_total", "keys")
        assert await loops.told("keys") == ""
        assert (await api.get("/v1/plans")).status == 200


async def test_a_turn_that_hangs_in_the_database_is_cut_off_and_the_loop_goes_on(
    database: Database, connection: Connection
) -> None:
    metrics = Metrics()
    looper = Looper("partitions", PartitionKeeper(database).tick, 0.1, metrics, tick_timeout_s=0.5)
    running = asyncio.create_task(looper.run())
    async with asyncio.timeout(PATIENCE_S):
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute('LOCK TABLE public."UsageHistory"')
        while not metrics.registry.get_sample_value("pedro_ledger_loop_failures_total", {"loop": "partitions"}):
            await asyncio.sleep(0.02)
        assert looper.failure == "TimeoutError"
        await transaction.rollback()
        while looper.failing_s:
            await asyncio.sleep(0.02)
    assert not running.done()
    running.cancel()
    await asyncio.wait({running})
    assert (
        await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        == 0
    )
