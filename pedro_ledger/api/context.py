"""What handlers work with, handed to each call."""

from typing import Any

from pedro_ledger.api.access.api_keys import KeyRing
from pedro_ledger.api.access.session_tokens import CustomerTokens
from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.rate_limits import RateLimits
from pedro_ledger.api.http.reading import parse_json, read_body
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.readiness import Readiness
from pedro_ledger.billing.service import Webhooks
from pedro_ledger.engine.engine import Engine
from pedro_ledger.ledger.errors import UserNotFound
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.health import DatabaseHealth
from pedro_ledger.store.app.admin_settings import AdminSettingsStore
from pedro_ledger.store.app.features import FeatureStore
from pedro_ledger.store.app.plans import PlanStore
from pedro_ledger.store.app.price_refresher import PriceRefresher
from pedro_ledger.store.app.storage_objects import StorageStore
from pedro_ledger.store.app.subscription_events import SubscriptionEventStore
from pedro_ledger.store.app.users import UserStore
from pedro_ledger.store.journal.statements import EntryReader
from pedro_ledger.store.proofs.proofs import ProofStore
from pedro_ledger.store.reports.reader import ReportReader
from pedro_ledger.telemetry.metrics import Metrics


class AppTables:
    """The stores of the app's own tables beside its users."""

    def __init__(self, database: Database) -> None:
        self.plans = PlanStore(database)
        self.features = FeatureStore(database)
        self.admin_settings = AdminSettingsStore(database)
        self.storage = StorageStore(database)
        self.subscription_events = SubscriptionEventStore(database)


class Context:
    """The parts of the daemon that the API calls upon."""

    def __init__(
        self,
        *,
        engine: Engine,
        entries: EntryReader,
        proofs: ProofStore,
        reports: ReportReader,
        users: UserStore,
        webhooks: Webhooks,
        catalog: PriceRefresher,
        app_tables: AppTables,
        keys: KeyRing,
        limits: RateLimits | None,
        customers: CustomerTokens | None,
        database: Database,
        health: DatabaseHealth,
        readiness: Readiness,
        metrics: Metrics,
        body_bytes_max: int,
        body_timeout_s: float,
        signup_credits: int,
        description: dict[str, Any],
    ) -> None:
        self.engine = engine
        self.entries = entries
        self.proofs = proofs
        self.reports = reports
        self.users = users
        self.webhooks = webhooks
        self.catalog = catalog
        self.plans = app_tables.plans
        self.features = app_tables.features
        self.admin_settings = app_tables.admin_settings
        self.storage = app_tables.storage
        self.subscription_events = app_tables.subscription_events
        self.keys = keys
        self.limits = limits
        self.customers = customers
        self.health = health
        self.readiness = readiness
        self._database = database
        self.metrics = metrics
        self.signup_credits = signup_credits
        self.description = description
        """The API in OpenAPI."""
        self._body_bytes_max = body_bytes_max
        self._body_timeout_s = body_timeout_s

    async def json(self, request: Request) -> Any:
        """The request's body as JSON. Raises problems for what is too large, too slow or not JSON."""
        return parse_json(await self.body(request))

    async def body(self, request: Request) -> bytes:
        """The request's body as it was sent. Raises problems for what is too large or too slow."""
        return await read_body(request, timeout_s=self._body_timeout_s, bytes_max=self._body_bytes_max)

    async def user_id(self, ref: str) -> str:
        """The id of the user that `ref` names. Raises `UserNotFound`."""
        found = await self.users.find(ref)
        if found is None:
            raise UserNotFound(f"There is no user {ref}.", user=ref)
        return found

    def observe(self) -> None:
        """Bring the gauges up to date, before they are read."""
        registry = self.engine.registry
        self.metrics.in_flight.set(self.engine.in_flight)
        self.metrics.accounts_resident.set(len(registry))
        self.metrics.actors_active.set(len(registry.active))
        self.metrics.mailbox_deepest.set(registry.deepest_mailbox())
        size, idle = self._database.pool_size
        self.metrics.pool_connections.set(size)
        self.metrics.pool_idle.set(idle)

    def require_operation_type(self, name: str) -> None:
        """Raises the problem 422 `unknown_operation_type` for what is no value of the app's enum."""
        known = self.catalog.operation_types
        if name not in known:
            raise Problem(
                422,
                "unknown_operation_type",
                "Unknown operation type",
                f"operationType must be one of {', '.join(sorted(known))}.",
                field="operationType",
            )
