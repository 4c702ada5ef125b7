"""Gives each endpoint the parts of the daemon that its parameters name, and no others."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from inspect import signature
from typing import Any, NamedTuple

from pedro_ledger.api.gauges import Gauges
from pedro_ledger.api.http.caller import Keys
from pedro_ledger.api.http.rate_limits import RateLimits
from pedro_ledger.api.http.responses import Response
from pedro_ledger.api.http.streaming import StreamedResponse
from pedro_ledger.api.operation_types import OperationTypes
from pedro_ledger.api.readiness import Readiness
from pedro_ledger.api.routes import ROUTES, Route
from pedro_ledger.billing.recurring import RecurringGrants
from pedro_ledger.billing.service import Webhooks
from pedro_ledger.engine.engine import Engine
from pedro_ledger.postgres.health import DatabaseHealth
from pedro_ledger.store.app.admin_settings import AdminSettingsStore
from pedro_ledger.store.app.features import FeatureStore
from pedro_ledger.store.app.plans import PlanStore
from pedro_ledger.store.app.price_refresher import PriceRefresher
from pedro_ledger.store.app.spend_limits import SpendLimitStore
from pedro_ledger.store.app.storage_objects import StorageStore
from pedro_ledger.store.app.subscription_events import SubscriptionEventStore
from pedro_ledger.store.app.users import UserStore
from pedro_ledger.store.billing.deliveries import DeliveryDesk
from pedro_ledger.store.billing.schedules import ScheduleStore
from pedro_ledger.store.journal.open_items import OpenItemsReader
from pedro_ledger.store.journal.statements import EntryReader
from pedro_ledger.store.proofs.proofs import ProofStore
from pedro_ledger.store.reports.exports import ExportReader
from pedro_ledger.store.reports.reader import ReportReader
from pedro_ledger.streams.broadcaster import Broadcaster
from pedro_ledger.telemetry.metrics import Metrics

Handler = Callable[..., Awaitable[Response[Any] | StreamedResponse[Any]]]


class Parts(NamedTuple):
    """What endpoints may ask for, by these names. No endpoint gets the whole."""

    engine: Engine
    operation_types: OperationTypes
    prices: PriceRefresher
    limits: RateLimits | None
    entries: EntryReader
    open_items: OpenItemsReader
    streams: Broadcaster
    keys: Keys
    users: UserStore
    signup_credits: int
    """What a new user is granted."""
    plans: PlanStore
    features: FeatureStore
    spend_limits: SpendLimitStore
    admin_settings: AdminSettingsStore
    storage_objects: StorageStore
    subscription_events: SubscriptionEventStore
    proofs: ProofStore
    reports: ReportReader
    exports: ExportReader
    export_slots: asyncio.Semaphore
    """One for each export that may be made at a time."""
    webhooks: Webhooks
    schedules: ScheduleStore
    recurring: RecurringGrants
    deliveries: DeliveryDesk
    health: DatabaseHealth
    readiness: Readiness
    gauges: Gauges
    metrics: Metrics
    description: dict[str, Any]
    """The API in OpenAPI."""


def parts_of(handler: Callable[..., Any]) -> list[str]:
    """The names of the parts that a handler asks for: its parameters after the request."""
    return list(signature(handler).parameters)[1:]


def bound_routes(parts: Parts) -> tuple[Route[Any], ...]:
    """The route table, with handlers that take a request and nothing else.

    Raises `AttributeError` for a part that does not exist.
    """

    def bound(handler: Handler) -> Handler:
        return partial(handler, **{name: getattr(parts, name) for name in parts_of(handler)})

    return tuple(replace(route, handler=bound(route.handler)) for route in ROUTES)
