"""The composition root: what is started, in what order, and undone in reverse."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import time_ns
from typing import NamedTuple

import structlog
from aiohttp import web

from pedro_ledger import __version__
from pedro_ledger.api.auth import KeyRing
from pedro_ledger.api.context import Context
from pedro_ledger.api.server import make_app
from pedro_ledger.embedded import EmbeddedPostgres
from pedro_ledger.engine.engine import Engine, EngineLimits
from pedro_ledger.metrics import Metrics
from pedro_ledger.settings import Settings
from pedro_ledger.store.accounts import AccountReader
from pedro_ledger.store.adoption import Adopter
from pedro_ledger.store.catalog import Catalog
from pedro_ledger.store.commit import BatchWriter
from pedro_ledger.store.database import Database
from pedro_ledger.store.dsn import parse_database_url
from pedro_ledger.store.entries import EntryReader
from pedro_ledger.store.health import DatabaseHealth
from pedro_ledger.store.migrations import migrate
from pedro_ledger.store.refusals import RefusalPurger
from pedro_ledger.store.users import UserStore

log = structlog.get_logger(__name__)


class Databases(NamedTuple):
    """The servers that a command works with."""

    primary: Database
    direct: Database
    """The primary without a pooler between, for what needs a session."""
    replica: Database
    """For reads that may lag; the primary where none is set."""
    is_embedded: bool


@asynccontextmanager
async def open_databases(settings: Settings) -> AsyncIterator[Databases]:
    """The databases that the settings name, the embedded server started where they name none."""
    async with AsyncExitStack() as stack:
        if settings.database_url is None:
            server = EmbeddedPostgres(settings.data_dir)
            url = await asyncio.to_thread(server.start)
            stack.push_async_callback(asyncio.to_thread, server.stop)
            direct_url = replica_url = None
        else:
            url = settings.database_url.get_secret_value()
            direct_url = settings.direct_url and settings.direct_url.get_secret_value()
            replica_url = settings.database_replica_url and settings.database_replica_url.get_secret_value()

        def database(text: str, name: str) -> Database:
            return Database(
                parse_database_url(text, name),
                pool_size_max=settings.pool_size_max,
                slow_query_ms=settings.slow_query_ms,
            )

        primary = database(url, "DATABASE_URL")
        direct = database(direct_url, "DIRECT_URL") if direct_url else primary
        replica = database(replica_url, "DATABASE_REPLICA_URL") if replica_url else primary
        yield Databases(primary, direct, replica, settings.database_url is None)


def api_key_of(settings: Settings, *, make: bool) -> tuple[str, Path | None]:
    """The key that the settings or the data folder hold, and the file that it is in; made on the first start with the embedded server."""
    if settings.api_key is not None:
        return settings.api_key.get_secret_value(), None
    file = settings.data_dir / "api-key"
    if file.exists():
        return file.read_text().strip(), file
    if not make:
        return "", None
    key = "pedro_" + secrets.token_urlsafe(32)
    fresh = file.with_suffix(f".{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(key + "\n")
    try:
        os.link(fresh, file)
    except FileExistsError:
        key = file.read_text().strip()
    finally:
        fresh.unlink()
    return key, file


def wall_clock_ms() -> int:
    """Milliseconds since 1970."""
    return time_ns() // 1_000_000


class Daemon:
    """Everything that `serve` runs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = asyncio.Event()

    async def run(self, announce: Callable[[str, str, Path | None], None]) -> None:
        """Serve until SIGTERM or SIGINT; `announce` is told address, key and key file once requests are taken."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        async with AsyncExitStack() as stack:
            databases = await stack.enter_async_context(open_databases(self._settings))
            for step in await migrate(databases.direct):
                log.info("migrated", migration=step.migration.name, adopted=step.adopted)
            key, key_file = api_key_of(self._settings, make=databases.is_embedded)
            context, engine = await self._build(databases, key, stack)
            await self._refuse_unsafe(context)
            address = await self._listen(context, stack)
            announce(address, key, key_file)
            log.info("serving", address=address, version=__version__, database=databases.primary.url.label)
            engine.crashed.add_done_callback(lambda _: self._stop.set())
            await self._stop.wait()
            if engine.crashed.done():
                log.critical("engine_crashed", exc_info=engine.crashed.result())
                raise SystemExit(70)
            log.info("draining", in_flight=engine.in_flight)

    async def _build(self, databases: Databases, key: str, stack: AsyncExitStack) -> tuple[Context, Engine]:
        settings = self._settings
        for database in {databases.primary, databases.replica}:
            await database.open()
            stack.push_async_callback(database.close)
        metrics = Metrics()
        writer = BatchWriter(databases.primary, commit_timeout_s=settings.commit_timeout_s)
        stack.push_async_callback(writer.close)
        engine = Engine(
            AccountReader(databases.primary, Adopter(databases.primary)),
            writer,
            metrics,
            wall_clock_ms,
            limits_of(settings),
        )
        catalog = Catalog(databases.primary, engine.reprice, refresh_s=settings.prices_refresh_s)
        await catalog.refresh()
        purger = RefusalPurger(databases.primary, kept_days=settings.refusals_kept_days)
        engine.start()
        for run in (catalog.run, purger.run):
            task = asyncio.create_task(run(), name=run.__qualname__)
            stack.push_async_callback(_cancel, task)
        stack.push_async_callback(engine.drain, settings.shutdown_grace_s)
        context = Context(
            engine=engine,
            entries=EntryReader(databases.primary),
            users=UserStore(databases.primary),
            catalog=catalog,
            keys=KeyRing.of_one(key, "initial") if key else KeyRing({}),
            database=databases.primary,
            health=DatabaseHealth(databases.primary),
            metrics=metrics,
            body_bytes_max=settings.body_bytes_max,
            body_timeout_s=settings.body_timeout_s,
            signup_credits=settings.signup_credits,
        )
        return context, engine

    async def _refuse_unsafe(self, context: Context) -> None:
        """Not ready is not a reason to stop; but say at once why no traffic will come."""
        for missing in await context.missing():
            log.error("not_ready", missing=missing)

    async def _listen(self, context: Context, stack: AsyncExitStack) -> str:
        settings = self._settings
        app = make_app(context, access_log=settings.access_log, body_bytes_max=settings.body_bytes_max)
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=settings.shutdown_grace_s,
            keepalive_timeout=75,
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, settings.host, settings.port, backlog=1024)
        await site.start()
        port = runner.addresses[0][1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host

        async def turn_away() -> None:
            context.engine.is_draining = True
            await site.stop()

        stack.push_async_callback(turn_away)
        return f"http://{host}:{port}"


def limits_of(settings: Settings) -> EngineLimits:
    """The engine's bounds, from the settings of the same names."""
    return EngineLimits(
        mailbox_size_max=settings.mailbox_size_max,
        operations_in_flight_max=settings.operations_in_flight_max,
        accounts_resident_max=settings.accounts_resident_max,
        account_idle_s=settings.account_idle_s,
        batch_operations_max=settings.batch_operations_max,
        unit_operations_max=settings.unit_operations_max,
        commit_lanes=settings.commit_lanes,
        operation_timeout_s=settings.operation_timeout_s,
    )


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
