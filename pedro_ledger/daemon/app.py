"""The composition root: what is started, in what order, and undone in reverse."""

import asyncio
import gc
import resource
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from time import time_ns
from typing import NamedTuple

import structlog
from aiohttp import web

from pedro_ledger import __version__
from pedro_ledger.api.access.api_keys import KeyRing
from pedro_ledger.api.access.authenticator import Authenticator
from pedro_ledger.api.access.key_refresher import KeyRefresher
from pedro_ledger.api.access.session_tokens import CustomerTokens
from pedro_ledger.api.gauges import Gauges
from pedro_ledger.api.http.listener import Listener
from pedro_ledger.api.http.rate_limits import rate_limits
from pedro_ledger.api.http.request import BodyLimits
from pedro_ledger.api.openapi import describe
from pedro_ledger.api.operation_types import OperationTypes
from pedro_ledger.api.readiness import Readiness
from pedro_ledger.api.server import RequestHandler, make_server
from pedro_ledger.api.user_names import UserNames
from pedro_ledger.api.wiring import Parts, bound_routes
from pedro_ledger.billing.recurring import RecurringGrants
from pedro_ledger.billing.service import Webhooks
from pedro_ledger.daemon.databases import Databases, open_databases, open_reader
from pedro_ledger.daemon.initial_key import InitialKey, api_key_of
from pedro_ledger.daemon.lag_probe import LagProbe
from pedro_ledger.daemon.loops import make_loops
from pedro_ledger.daemon.preparation import prepare
from pedro_ledger.daemon.webhook_secrets import WebhookSecrets, webhook_secrets
from pedro_ledger.engine.engine import Engine, EngineLimits
from pedro_ledger.ledger.errors import OperatorError
from pedro_ledger.ledger.open_items import Rollover
from pedro_ledger.ledger.plan_terms import PlanTerms
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.health import DatabaseHealth
from pedro_ledger.settings import Settings
from pedro_ledger.store.app.admin_settings import AdminSettingsStore
from pedro_ledger.store.app.features import FeatureStore
from pedro_ledger.store.app.plans import PlanStore
from pedro_ledger.store.app.price_refresher import PriceRefresher
from pedro_ledger.store.app.spend_limits import SpendLimitStore
from pedro_ledger.store.app.storage_objects import StorageStore
from pedro_ledger.store.app.subscription_events import SubscriptionEventStore
from pedro_ledger.store.app.users import UserStore
from pedro_ledger.store.billing.deliveries import DeliveryDesk
from pedro_ledger.store.billing.inbox import WebhookStore
from pedro_ledger.store.billing.periods import PlanPeriods
from pedro_ledger.store.billing.plans import EventPlans
from pedro_ledger.store.billing.schedules import ScheduleStore
from pedro_ledger.store.journal.accounts import AccountReader
from pedro_ledger.store.journal.adoption import Adopter
from pedro_ledger.store.journal.commit import BatchWriter
from pedro_ledger.store.journal.open_items import OpenItemsReader
from pedro_ledger.store.journal.statements import EntryReader
from pedro_ledger.store.keys import KeyStore
from pedro_ledger.store.proofs.proofs import ProofStore
from pedro_ledger.store.reports.exports import ExportReader
from pedro_ledger.store.reports.reader import ReportReader
from pedro_ledger.store.schema.obstacles import SchemaWatcher
from pedro_ledger.streams.broadcaster import Broadcaster
from pedro_ledger.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)
EXPORTS_MAX = 2
"""At a time: each holds a connection and a snapshot for as long as its caller reads."""
OTHER_FILES = 256
"""Files that are open beside callers' connections: the database's, the log, the loop's own."""


class ListenError(OperatorError):
    """The daemon cannot take requests where the settings say; the message says what to do."""


def spare_the_collector() -> None:
    """Operations make no cycles, so the cycle collector finds nothing; let it look seldom, and
    never at what start-up made.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


def allow_open_files(wanted: int) -> None:
    """Raise this process's limit of open files towards `wanted`, as far as it may; each connection
    is one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        log.warning(
            "few_open_files", allowed=allowed, wanted=wanted, advice="raise ulimit -n, or lower PEDRO_CONNECTIONS_MAX"
        )


def wall_clock_ms() -> int:
    """Milliseconds since 1970."""
    return time_ns() // 1_000_000


class Running(NamedTuple):
    """A daemon that takes requests."""

    address: str
    initial_key: InitialKey
    parts: Parts


class Daemon:
    """Everything that `serve` runs. Raises `SettingsError` for a secret that cannot be one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._webhook_secrets = webhook_secrets(settings)

    async def run(self, announce: Callable[[Running], None]) -> None:
        """Serve until SIGTERM or SIGINT; `announce` is called once requests are taken."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with self.started() as running:
            spare_the_collector()
            allow_open_files(self._settings.connections_max + OTHER_FILES)
            announce(running)
            engine = running.parts.engine
            engine.crashed.add_done_callback(lambda _: stop.set())
            await stop.wait()
            if engine.crashed.done():
                log.critical("engine_crashed", exc_info=engine.crashed.result())
                raise SystemExit(70)
            log.info("draining", in_flight=engine.in_flight)

    @asynccontextmanager
    async def started(self) -> AsyncIterator[Running]:
        """The daemon from its first request to its last; leaving drains it."""
        async with AsyncExitStack() as stack:
            databases = await stack.enter_async_context(open_databases(self._settings))
            await prepare(databases, self._settings)
            initial_key = api_key_of(self._settings, make=databases.is_embedded)
            parts, authenticator = await self._build(databases, initial_key.key, stack)
            for missing in await parts.readiness.missing():
                log.error("not_ready", missing=missing)
            address = await self._listen(parts, authenticator, stack)
            log.info("serving", address=address, version=__version__, database=databases.primary.url.label)
            yield Running(address, initial_key, parts)

    async def _build(self, databases: Databases, key: str, stack: AsyncExitStack) -> tuple[Parts, Authenticator]:
        settings = self._settings
        for database in (databases.primary, databases.upkeep):
            await database.open()
            stack.push_async_callback(database.close)
        metrics = Metrics()
        writer = BatchWriter(databases.primary, commit_timeout_s=settings.commit_timeout_s)
        stack.push_async_callback(writer.close)
        schema = SchemaWatcher(databases.upkeep, metrics.schema_looked_at)
        await schema.look()
        accounts = AccountReader(databases.primary, Adopter(databases.primary))
        stack.callback(accounts.close)
        open_items = OpenItemsReader(databases.primary)
        streams = Broadcaster(open_items)
        engine = Engine(
            accounts,
            writer,
            metrics,
            wall_clock_ms,
            limits_of(settings),
            on_fault=schema.suspect,
            refund_grace_ms=settings.refund_grace_s * 1000,
            on_moved=streams.publish,
        )
        prices = PriceRefresher(databases.upkeep, engine.reprice, engine.limit)
        await prices.refresh()
        keys = KeyRing.of_one(key, "initial") if key else KeyRing({})
        keys.fresh_for_s = settings.keys_refresh_s + settings.keys_stale_max_s
        watch = KeyRefresher(keys, KeyStore(databases.upkeep))
        await watch.refresh()
        stack.push_async_callback(watch.close)
        engine.start()
        probe = LagProbe(metrics.event_loop_lag)
        probe.start()
        stack.push_async_callback(probe.stop)
        reader = await open_reader(databases, settings, stack, metrics)
        webhooks = make_webhooks(
            databases.primary, engine, settings, self._webhook_secrets, metrics, lambda: prices.plans_seen
        )
        schedules = ScheduleStore(databases.primary)
        recurring = RecurringGrants(schedules, engine, metrics.recurring_lag.set, metrics.recurring_missed.inc)
        loops = make_loops(
            settings,
            databases,
            metrics,
            engine=engine,
            keys=watch,
            prices=prices,
            schema=schema,
            reader=reader,
            webhooks=webhooks,
            recurring=recurring,
            streams=streams,
        )
        for loop in loops:
            stack.push_async_callback(_cancel, asyncio.create_task(loop.run(), name=loop.name))
        stack.push_async_callback(engine.drain, settings.shutdown_grace_s)
        health = DatabaseHealth(databases.upkeep)
        users = UserStore(databases.primary)
        parts = Parts(
            engine=engine,
            operation_types=OperationTypes(prices),
            prices=prices,
            limits=rate_limits(
                key_per_s=settings.rate_limit_key_per_s,
                user_per_s=settings.rate_limit_user_per_s,
                burst_s=settings.rate_limit_burst_s,
                ids_of=UserNames(users).ids_of,
            ),
            entries=EntryReader(databases.primary, reader),
            open_items=open_items,
            streams=streams,
            keys=keys,
            users=users,
            signup_credits=settings.signup_credits,
            plans=PlanStore(databases.primary),
            features=FeatureStore(databases.primary),
            spend_limits=SpendLimitStore(databases.primary),
            admin_settings=AdminSettingsStore(databases.primary),
            storage_objects=StorageStore(databases.primary),
            subscription_events=SubscriptionEventStore(databases.primary),
            proofs=ProofStore(databases.primary),
            reports=ReportReader(reader),
            exports=ExportReader(reader),
            export_slots=asyncio.Semaphore(EXPORTS_MAX),
            webhooks=webhooks,
            schedules=schedules,
            recurring=recurring,
            deliveries=webhooks.deliveries,
            health=health,
            readiness=Readiness(engine, health, keys, loops, schema),
            gauges=Gauges(engine, databases.primary, streams, metrics),
            metrics=metrics,
            description=describe(),
        )
        customers = customers_of(settings)
        if customers is not None:
            stack.push_async_callback(customers.close)
        return parts, Authenticator(keys, watch.freshen, customers, parts.users)

    async def _listen(self, parts: Parts, authenticator: Authenticator, stack: AsyncExitStack) -> str:
        settings = self._settings
        handler = RequestHandler(
            bound_routes(parts), authenticator, parts.limits, parts.metrics, access_log=settings.access_log
        )
        server = make_server(
            handler,
            body_bytes_max=settings.body_bytes_max,
            body_limits=BodyLimits(settings.body_timeout_s, parts.engine.bytes),
            connections_max=settings.connections_max,
            cors_origins=settings.origins,
        )
        runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=settings.shutdown_grace_s)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        try:
            listener = await Listener.open(server, settings.host, settings.port)
        except OSError as error:
            raise ListenError(
                f"Cannot listen on {settings.host}:{settings.port} ({error.strerror}): set PEDRO_HOST and PEDRO_PORT."
            ) from None
        host = f"[{settings.host}]" if ":" in settings.host else settings.host

        async def turn_away() -> None:
            parts.engine.is_draining = True
            parts.streams.close()
            await listener.close()

        stack.push_async_callback(turn_away)
        return f"http://{host}:{listener.port}"


def customers_of(settings: Settings) -> CustomerTokens | None:
    """Who tells customers by their session tokens; None where the settings do not say where the
    keys are.
    """
    if settings.clerk_jwks_url is None:
        return None
    parties = [party.strip() for party in settings.clerk_authorized_parties.split(",") if party.strip()]
    return CustomerTokens(
        jwks_url=settings.clerk_jwks_url, issuer=settings.clerk_issuer or None, authorized_parties=parties
    )


def make_webhooks(
    database: Database,
    engine: Engine,
    settings: Settings,
    secrets: WebhookSecrets,
    metrics: Metrics,
    plans: Callable[[], object],
) -> Webhooks:
    """What takes the providers' events, with the secrets of the settings."""
    return Webhooks(
        WebhookStore(database, signup_credits=settings.signup_credits),
        DeliveryDesk(database),
        PlanPeriods(database, plan_terms_of(settings)),
        EventPlans(database),
        engine,
        clerk_secrets=secrets.clerk,
        asaas_tokens=secrets.asaas,
        kept_days=settings.webhooks_kept_days,
        on_answer=metrics.webhook,
        on_count=lambda found: metrics.set_aside(*found),
        plans=plans,
    )


def plan_terms_of(settings: Settings) -> PlanTerms | None:
    """How the credits of paid periods end; None where they do not."""
    if not settings.plan_credits_expire:
        return None
    percent, cap = settings.plan_rollover_percent, settings.plan_rollover_cap or None
    rollover = Rollover(percent, cap, settings.plan_rollover_times, None) if percent else None
    return PlanTerms(settings.plan_grace_s * 1000, rollover)


def limits_of(settings: Settings) -> EngineLimits:
    """The engine's bounds, from the settings of the same names."""
    return EngineLimits(
        mailbox_size_max=settings.mailbox_size_max,
        operations_in_flight_max=settings.operations_in_flight_max,
        accounts_resident_max=settings.accounts_resident_max,
        account_idle_s=settings.account_idle_s,
        bytes_in_flight_max=settings.bytes_in_flight_max,
        batch_operations_max=settings.batch_operations_max,
        batch_bytes_max=settings.batch_bytes_max,
        unit_operations_max=settings.unit_operations_max,
        commit_lanes=settings.commit_lanes,
        operation_timeout_s=settings.operation_timeout_s,
    )


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
