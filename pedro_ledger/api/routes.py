"""Every route on one screen: what it is called, who may call it, what it takes and gives."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from pedro_ledger.api.context import Context
from pedro_ledger.api.endpoints import admin_settings as admin
from pedro_ledger.api.endpoints import credits, features, plans, proofs, reports, subscription_events, users, webhooks
from pedro_ledger.api.endpoints import pages as docs
from pedro_ledger.api.endpoints import probes as operating
from pedro_ledger.api.endpoints import statements as books
from pedro_ledger.api.endpoints import storage_objects as storage
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.scopes import PUBLIC, Access, Scope
from pedro_ledger.api.schemas.app_requests import (
    FeatureBody,
    FeatureChange,
    PlanBody,
    PlanChange,
    SettingsChange,
    StorageBody,
    SubscriptionEventBody,
)
from pedro_ledger.api.schemas.requests import BatchBody, Body, DeductBody, GrantBody, RefundBody, UserBody, UserChange

Handler = Callable[[Request, Context], Awaitable[web.Response]]
__all__ = ["PUBLIC", "ROUTES", "Handler", "Route", "Scope"]


class Route(NamedTuple):
    """One call of the contract."""

    method: str
    path: str
    handler: Handler
    scope: Access
    """What a key must have, or `PUBLIC`."""
    body: type[Body] | None = None
    moves_credits: bool = False
    """Whether it needs an Idempotency-Key."""
    answers: tuple[int, ...] = (200,)
    schema: str = "Any"
    """Name of the answer's schema in `openapi.ANSWERS`."""
    query: tuple[str, ...] = ()
    refusals: tuple[int, ...] = ()
    customers: bool = False
    """Whether customers may call it with their own token, about themselves: it names its user in the path or in `?user=`."""

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (self.handler.__doc__ or "").strip().splitlines()[0]

    @property
    def by_workspace(self) -> bool:
        """Whether it is about things of a workspace, so that a key which is bound to one may call it."""
        return self.path.startswith("/v1/features")


_USER = "/v1/users/{user}"
_FEATURE = "/v1/features/{feature}"
_FILES = "/v1/storage-objects"
_LIST = ("limit", "cursor")

ROUTES: tuple[Route, ...] = (
    Route("POST", f"{_USER}/deduct", credits.deduct, Scope.WRITE, DeductBody, True, (201,), "Receipt", (), (402, 404, 422)),
    Route("POST", f"{_USER}/refund", credits.refund, Scope.WRITE, RefundBody, True, (201,), "Receipt", (), (404, 409, 422)),
    Route("POST", f"{_USER}/grants", credits.grant, Scope.ADMIN, GrantBody, True, (201,), "Receipt", (), (404, 409, 422)),
    Route("POST", "/v1/operations", credits.operations, Scope.WRITE, BatchBody, False, (200,), "Results", (), (422,)),
    Route("GET", f"{_USER}/balance", books.balance, Scope.READ, None, False, (200,), "Balance", ("at",), (404,), customers=True),
    Route("GET", f"{_USER}/usage", books.usage, Scope.READ, None, False, (200,), "UsagePage",
          ("operationType", "from", "to", *_LIST), (404, 422), customers=True),
    Route("GET", f"{_USER}/statement", books.statement, Scope.READ, None, False, (200,), "StatementPage",
          ("from", "to", "order", *_LIST), (404,), customers=True),
    Route("GET", "/v1/entries/{entry}", books.entry, Scope.READ, None, False, (200,), "EntryInFull", (), (404,)),
    Route("GET", "/v1/entries/{entry}/proof", proofs.proof, Scope.READ, None, False, (200,), "Proof", (), (404, 409)),
    Route("POST", "/v1/users", users.upsert, Scope.WRITE, UserBody, False, (200, 201), "User", (), (409, 422)),
    Route("GET", "/v1/users", users.list_page, Scope.READ, None, False, (200,), "UserPage", ("isActive", "email", *_LIST)),
    Route("GET", _USER, users.read, Scope.READ, None, False, (200,), "User", (), (404,)),
    Route("PATCH", _USER, users.change, Scope.WRITE, UserChange, False, (200,), "User", (), (404, 409, 422)),
    Route("GET", "/v1/plans", plans.list_page, Scope.READ, None, False, (200,), "PlanPage", ("active", *_LIST)),
    Route("POST", "/v1/plans", plans.create, Scope.ADMIN, PlanBody, False, (201,), "Plan", (), (409,)),
    Route("GET", "/v1/plans/{plan}", plans.read, Scope.READ, None, False, (200,), "Plan", (), (404,)),
    Route("PATCH", "/v1/plans/{plan}", plans.change, Scope.ADMIN, PlanChange, False, (200,), "Plan", (), (404, 409)),
    Route("GET", "/v1/features", features.list_page, Scope.READ, None, False, (200,), "FeaturePage", ("workspaceId", *_LIST)),
    Route("POST", "/v1/features", features.create, Scope.WRITE, FeatureBody, False, (201,), "Feature"),
    Route("GET", _FEATURE, features.read, Scope.READ, None, False, (200,), "Feature", (), (404,)),
    Route("PATCH", _FEATURE, features.change, Scope.WRITE, FeatureChange, False, (200,), "Feature", (), (404,)),
    Route("DELETE", _FEATURE, features.delete, Scope.WRITE, None, False, (200,), "Feature", (), (404,)),
    Route("GET", "/v1/admin/settings", admin.read, Scope.READ, None, False, (200,), "AdminSettings"),
    Route("PATCH", "/v1/admin/settings", admin.change, Scope.ADMIN, SettingsChange, False, (200,), "AdminSettings"),
    Route("POST", _FILES, storage.track, Scope.WRITE, StorageBody, False, (201,), "StorageObject", (), (404,)),
    Route("GET", _FILES, storage.list_page, Scope.READ, None, False, (200,), "StoragePage", ("user", *_LIST), (404,), customers=True),
    Route("GET", f"{_FILES}/purgeable", storage.purgeable, Scope.ADMIN, None, False, (200,), "StoragePage",
          ("deletedForDays", *_LIST)),
    Route("GET", f"{_FILES}/{{object}}", storage.read, Scope.READ, None, False, (200,), "StorageObject", ("user",), (404,),
          customers=True),
    Route("DELETE", f"{_FILES}/{{object}}", storage.delete, Scope.WRITE, None, False, (200,), "StorageObject", ("user",), (404,)),
    Route("GET", f"{_USER}/storage", storage.totals, Scope.READ, None, False, (200,), "StorageTotals", (), (404,), customers=True),
    Route("GET", "/v1/subscription-events", subscription_events.list_page, Scope.READ, None, False, (200,), "SubscriptionEventPage",
          ("clerkUserId", *_LIST)),
    Route("POST", "/v1/subscription-events", subscription_events.create, Scope.WRITE, SubscriptionEventBody, False, (201,),
          "SubscriptionEvent"),
    Route("GET", "/v1/reports/{report}", reports.report, Scope.REPORTS, None, False, (200,), "Report",
          ("format", "since", "until", "operation", "limit"), (404, 422)),
    Route("POST", "/v1/webhooks/clerk", webhooks.clerk, PUBLIC, schema="WebhookTaken", refusals=(401, 408, 413, 415, 503)),
    Route("POST", "/v1/webhooks/asaas", webhooks.asaas, PUBLIC, schema="WebhookTaken", refusals=(401, 408, 413, 415, 503)),
    Route("GET", "/health", operating.health, PUBLIC, schema="Health", answers=(200, 500)),
    Route("GET", "/livez", operating.livez, PUBLIC, schema="Health"),
    Route("GET", "/readyz", operating.readyz, PUBLIC, schema="Readiness", answers=(200, 503)),
    Route("GET", "/metrics", operating.metrics, PUBLIC, schema="Text"),
    Route("GET", "/openapi.json", operating.openapi, PUBLIC, schema="Any"),
    Route("GET", "/docs", docs.page, PUBLIC, schema="Page"),
    Route("GET", "/docs/page.css", docs.style, PUBLIC, schema="Page"),
    Route("GET", "/docs/page.js", docs.script, PUBLIC, schema="Page"),
)  # fmt: skip
