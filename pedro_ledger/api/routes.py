"""Every route on one screen: what it is called, who may call it, what it takes and gives."""

from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Generic, TypeVar

from pedro_ledger.api.endpoints import admin_settings as admin
from pedro_ledger.api.endpoints import (
    balance_stream,
    credits,
    exports,
    features,
    grants,
    holds,
    limits,
    pages,
    plans,
    probes,
    proofs,
    recurring_grants,
    reports,
    statements,
    subscription_events,
    users,
    webhook_deliveries,
    webhooks,
)
from pedro_ledger.api.endpoints import storage_objects as storage
from pedro_ledger.api.http.responses import JSON_TYPE, Response
from pedro_ledger.api.http.scopes import PUBLIC, Access, Scope
from pedro_ledger.api.http.streaming import StreamedResponse
from pedro_ledger.api.schemas import answers, app_answers, operator_answers
from pedro_ledger.api.schemas.answers import Page
from pedro_ledger.api.schemas.app_requests import (
    FeatureBody,
    FeatureChange,
    PlanBody,
    PlanChange,
    SettingsChange,
    StorageBody,
    SubscriptionEventBody,
    WhatIfBody,
)
from pedro_ledger.api.schemas.queries import (
    BalanceQuery,
    BalanceStreamQuery,
    DeliveriesQuery,
    ExportQuery,
    FeaturesQuery,
    FilesQuery,
    ForceQuery,
    HoldsQuery,
    NoQuery,
    OwnerQuery,
    PlansQuery,
    PurgeableQuery,
    Query,
    ReportQuery,
    StatementQuery,
    SubscriptionEventsQuery,
    UsageQuery,
    UsersQuery,
)
from pedro_ledger.api.schemas.requests import (
    AdjustmentBody,
    BatchBody,
    Body,
    CaptureBody,
    DeductBody,
    ExtendBody,
    GrantBody,
    HeartbeatBody,
    HoldBody,
    LimitBody,
    RecurringGrantBody,
    RefundBody,
    SharedLimitBody,
    UserBody,
    UserChange,
    VoidBody,
)
from pedro_ledger.reports.exports import TYPES as EXPORT_TYPES
from pedro_ledger.reports.formats import TYPES

__all__ = ["PUBLIC", "ROUTES", "Route", "Scope"]
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Route(Generic[A]):
    """One call of the API.

    The type checker refuses a handler whose answer is not `answer`.
    """

    method: str
    path: str
    handler: Callable[..., Awaitable[Response[A] | StreamedResponse[A]]]
    """Takes the request and the parts of the daemon that it names as parameters (see `wiring`)."""
    scope: Access
    """What a key must have, or `PUBLIC`."""
    _: KW_ONLY
    answer: type[A]
    """What the body of a success is, as `schemas.answers` describes it."""
    body: type[Body] | None = None
    query: type[Query] = NoQuery
    statuses: tuple[int, ...] = (200,)
    """Of a success."""
    refusals: tuple[int, ...] = ()
    """Statuses of its own refusals; those that every route or every body may get are not named."""
    media: tuple[str, ...] = (JSON_TYPE,)
    """The forms of a success."""
    moves_credits: bool = False
    """Whether it needs an Idempotency-Key."""
    customers: bool = False
    """Whether customers may call it with their own token, about themselves.

    Such a route names its user in the path or in `?user=`.
    """

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (self.handler.__doc__ or "").strip().splitlines()[0]

    @property
    def by_workspace(self) -> bool:
        """Whether a key that is bound to a workspace may call it."""
        return self.path.startswith("/v1/features")


_USER = "/v1/users/{user}"
_ENTRY = "/v1/entries/{entry}"
_HOLD = "/v1/holds/{hold}"
_PLANS = "/v1/plans"
_PLAN = f"{_PLANS}/{{plan}}"
_FEATURES = "/v1/features"
_FEATURE = f"{_FEATURES}/{{feature}}"
_FILES = "/v1/storage-objects"
_FILE = f"{_FILES}/{{object}}"
_EVENTS = "/v1/subscription-events"
_HOOK = (401, 408, 413, 415, 503)

_TABLE = (
    Route("POST", f"{_USER}/deduct", credits.deduct, Scope.WRITE, body=DeductBody, answer=answers.Receipt, statuses=(201,),
          moves_credits=True, refusals=(402, 404, 422)),
    Route("POST", f"{_USER}/refund", credits.refund, Scope.WRITE, body=RefundBody, answer=answers.Receipt, statuses=(201,),
          moves_credits=True, refusals=(404, 409, 422)),
    Route("POST", f"{_USER}/grants", credits.grant, Scope.ADMIN, body=GrantBody, answer=answers.Receipt, statuses=(201,),
          moves_credits=True, refusals=(404, 409, 422)),
    Route("POST", f"{_USER}/adjustments", credits.adjust, Scope.ADMIN, body=AdjustmentBody, answer=answers.Receipt,
          statuses=(201,), moves_credits=True, refusals=(402, 404, 409, 422)),
    Route("GET", f"{_USER}/grants", grants.list_open, Scope.READ, answer=answers.Grants, refusals=(404,), customers=True),
    Route("GET", f"{_USER}/recurring-grants", recurring_grants.list_running, Scope.ADMIN, answer=answers.RecurringGrants,
          refusals=(404,)),
    Route("PUT", f"{_USER}/recurring-grants/{{schedule}}", recurring_grants.put, Scope.ADMIN, body=RecurringGrantBody,
          answer=answers.RecurringGrant, refusals=(404, 409, 422)),
    Route("DELETE", f"{_USER}/recurring-grants/{{schedule}}", recurring_grants.delete, Scope.ADMIN, answer=answers.Deleted,
          refusals=(404,)),
    Route("POST", f"{_USER}/holds", holds.make, Scope.WRITE, body=HoldBody, answer=answers.Receipt, statuses=(201,),
          moves_credits=True, refusals=(402, 404, 409, 422)),
    Route("GET", f"{_USER}/holds", holds.list_open, Scope.READ, query=HoldsQuery, answer=answers.Holds, refusals=(404,),
          customers=True),
    Route("GET", _HOLD, holds.read, Scope.READ, answer=answers.HoldInFull, refusals=(404,)),
    Route("POST", f"{_HOLD}/capture", holds.capture, Scope.WRITE, body=CaptureBody, answer=answers.Receipt, statuses=(201,),
          moves_credits=True, refusals=(402, 404, 409, 422)),
    Route("POST", f"{_HOLD}/extend", holds.extend, Scope.WRITE, body=ExtendBody, answer=answers.Receipt, statuses=(201,),
          moves_credits=True, refusals=(402, 404, 409, 422)),
    Route("POST", f"{_HOLD}/void", holds.void, Scope.WRITE, body=VoidBody, answer=answers.Receipt, statuses=(201,),
          moves_credits=True, refusals=(404, 409, 422)),
    Route("POST", f"{_HOLD}/heartbeat", holds.heartbeat, Scope.WRITE, body=HeartbeatBody, answer=answers.Heartbeat,
          refusals=(404, 409, 422)),
    Route("GET", f"{_USER}/limits", limits.list_own, Scope.ADMIN, answer=answers.Limits, refusals=(404,)),
    Route("PUT", f"{_USER}/limits/{{limit}}", limits.put_own, Scope.ADMIN, body=LimitBody, answer=answers.Limit,
          refusals=(404, 409, 422)),
    Route("DELETE", f"{_USER}/limits/{{limit}}", limits.delete_own, Scope.ADMIN, answer=answers.Deleted, refusals=(404,)),
    Route("GET", f"{_USER}/limits/usage", limits.usage, Scope.READ, answer=answers.LimitUses, refusals=(404,), customers=True),
    Route("GET", "/v1/limits", limits.list_shared, Scope.ADMIN, answer=answers.SharedLimits),
    Route("PUT", "/v1/limits/{limit}", limits.put_shared, Scope.ADMIN, body=SharedLimitBody, answer=answers.SharedLimit,
          refusals=(404, 409, 422)),
    Route("DELETE", "/v1/limits/{limit}", limits.delete_shared, Scope.ADMIN, answer=answers.Deleted, refusals=(404,)),
    Route("POST", "/v1/operations", credits.operations, Scope.WRITE, body=BatchBody, answer=answers.Results, refusals=(422,)),
    Route("GET", f"{_USER}/balance", statements.balance, Scope.READ, query=BalanceQuery, answer=answers.Balance, refusals=(404,),
          customers=True),
    Route("GET", f"{_USER}/balance/stream", balance_stream.stream, Scope.READ, query=BalanceStreamQuery,
          answer=str, media=(balance_stream.MEDIA_TYPE,), refusals=(404, 429), customers=True),
    Route("GET", f"{_USER}/usage", statements.usage, Scope.READ, query=UsageQuery,
          answer=Page[app_answers.Usage], refusals=(404, 422), customers=True),
    Route("GET", f"{_USER}/statement", statements.statement, Scope.READ, query=StatementQuery,
          answer=Page[answers.Entry], refusals=(404,), customers=True),
    Route("GET", _ENTRY, statements.entry, Scope.READ, answer=answers.EntryInFull, refusals=(404,)),
    Route("GET", f"{_ENTRY}/proof", proofs.proof, Scope.READ, answer=answers.Proof, refusals=(404, 409)),
    Route("POST", "/v1/users", users.upsert, Scope.WRITE, body=UserBody, answer=app_answers.User, statuses=(200, 201),
          refusals=(409, 422)),
    Route("GET", "/v1/users", users.list_page, Scope.READ, query=UsersQuery, answer=Page[app_answers.User]),
    Route("GET", _USER, users.read, Scope.READ, answer=app_answers.User, refusals=(404,)),
    Route("PATCH", _USER, users.change, Scope.WRITE, body=UserChange, answer=app_answers.User, refusals=(404, 409, 422)),
    Route("GET", _PLANS, plans.list_page, Scope.READ, query=PlansQuery, answer=Page[app_answers.Plan]),
    Route("POST", _PLANS, plans.create, Scope.ADMIN, body=PlanBody, answer=app_answers.Plan, statuses=(201,), refusals=(409,)),
    Route("GET", _PLAN, plans.read, Scope.READ, answer=app_answers.Plan, refusals=(404,)),
    Route("PATCH", _PLAN, plans.change, Scope.ADMIN, body=PlanChange, answer=app_answers.Plan, refusals=(404, 409)),
    Route("GET", _FEATURES, features.list_page, Scope.READ, query=FeaturesQuery, answer=Page[app_answers.Feature]),
    Route("POST", _FEATURES, features.create, Scope.WRITE, body=FeatureBody, answer=app_answers.Feature, statuses=(201,)),
    Route("GET", _FEATURE, features.read, Scope.READ, answer=app_answers.Feature, refusals=(404,)),
    Route("PATCH", _FEATURE, features.change, Scope.WRITE, body=FeatureChange, answer=app_answers.Feature, refusals=(404,)),
    Route("DELETE", _FEATURE, features.delete, Scope.WRITE, answer=app_answers.Feature, refusals=(404,)),
    Route("GET", "/v1/admin/settings", admin.read, Scope.READ, answer=app_answers.AdminSettings),
    Route("PATCH", "/v1/admin/settings", admin.change, Scope.ADMIN, query=ForceQuery, body=SettingsChange,
          answer=app_answers.AdminSettings),
    Route("POST", _FILES, storage.track, Scope.WRITE, body=StorageBody, answer=app_answers.StorageObject, statuses=(201,),
          refusals=(404,)),
    Route("GET", _FILES, storage.list_page, Scope.READ, query=FilesQuery, answer=Page[app_answers.StorageObject],
          refusals=(404,), customers=True),
    Route("GET", f"{_FILES}/purgeable", storage.purgeable, Scope.ADMIN, query=PurgeableQuery,
          answer=Page[app_answers.StorageObject]),
    Route("GET", _FILE, storage.read, Scope.READ, query=OwnerQuery, answer=app_answers.StorageObject, refusals=(404,), customers=True),
    Route("DELETE", _FILE, storage.delete, Scope.WRITE, query=OwnerQuery, answer=app_answers.StorageObject, refusals=(404,)),
    Route("GET", f"{_USER}/storage", storage.totals, Scope.READ, answer=app_answers.StorageTotals, refusals=(404,), customers=True),
    Route("GET", _EVENTS, subscription_events.list_page, Scope.READ, query=SubscriptionEventsQuery,
          answer=Page[app_answers.SubscriptionEvent]),
    Route("POST", _EVENTS, subscription_events.create, Scope.ADMIN, body=SubscriptionEventBody, answer=app_answers.SubscriptionEvent,
          statuses=(201,), refusals=(409,)),
    Route("POST", "/v1/reports/what-if", reports.what_if, Scope.REPORTS, body=WhatIfBody, answer=operator_answers.WhatIf,
          refusals=(422,)),
    Route("GET", "/v1/reports/{report}", reports.report, Scope.REPORTS, query=ReportQuery,
          answer=operator_answers.Report, media=tuple(TYPES.values()), refusals=(404, 422)),
    Route("GET", "/v1/exports/{export}", exports.stream, Scope.REPORTS, query=ExportQuery,
          answer=str, media=tuple(EXPORT_TYPES.values()), refusals=(404, 422)),
    Route("POST", "/v1/webhooks/clerk", webhooks.clerk, PUBLIC, answer=operator_answers.WebhookTaken, refusals=_HOOK),
    Route("POST", "/v1/webhooks/asaas", webhooks.asaas, PUBLIC, answer=operator_answers.WebhookTaken, refusals=_HOOK),
    Route("GET", "/v1/webhook-deliveries", webhook_deliveries.list_page, Scope.ADMIN, query=DeliveriesQuery,
          answer=Page[operator_answers.WebhookDelivery]),
    Route("GET", "/health", probes.health, PUBLIC, answer=operator_answers.Health, statuses=(200, 500)),
    Route("GET", "/livez", probes.livez, PUBLIC, answer=operator_answers.Health),
    Route("GET", "/readyz", probes.readyz, PUBLIC, answer=operator_answers.Readiness, statuses=(200, 503)),
    Route("GET", "/metrics", probes.metrics, PUBLIC, answer=str, media=("text/plain",)),
    Route("GET", "/openapi.json", probes.openapi, PUBLIC, answer=dict[str, Any]),
    Route("GET", "/docs", pages.page, PUBLIC, answer=str, media=("text/*",)),
    Route("GET", "/docs/errors", pages.errors, PUBLIC, answer=str, media=("text/*",)),
    Route("GET", "/docs/page.css", pages.style, PUBLIC, answer=str, media=("text/*",)),
    Route("GET", "/docs/page.js", pages.script, PUBLIC, answer=str, media=("text/*",)),
)  # fmt: skip
ROUTES: tuple[Route[Any], ...] = _TABLE
"""The table as a type that does not list its lines; the checker has seen them one by one."""
