"""What operators and their tools ask: health, readiness, metrics, the description of the API."""

from datetime import UTC, datetime
from typing import Any

import structlog

from pedro_ledger.api.context import Context
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response, json_response
from pedro_ledger.api.schemas.answers import Health, Readiness
from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.ledger.times import time_text
from pedro_ledger.telemetry.metrics import CONTENT_TYPE

log = structlog.get_logger(__name__)


async def health(request: Request, context: Context) -> Response[Health]:
    """As the app's own health route answered."""
    try:
        await context.health.ping()
    except Unavailable as error:
        log.warning("unhealthy", reason=error.facts.get("reason"))
        return json_response({"status": "unhealthy"}, 500)
    return json_response({"status": "healthy", "timestamp": time_text(datetime.now(UTC))})


async def livez(request: Request, context: Context) -> Response[Health]:
    """The event loop turns."""
    return json_response({"status": "live"})


async def readyz(request: Request, context: Context) -> Response[Readiness]:
    """Whether to send traffic here, else what is missing; and which upkeep fails all the same."""
    missing = await context.readiness.missing()
    found: Readiness = {"status": "ready"}
    if missing:
        found = {"status": "not ready", "missing": missing}
    if failing := context.readiness.failing():
        found["failing"] = failing
    return json_response(found, 503, {"Retry-After": "1"}) if missing else json_response(found)


async def metrics(request: Request, context: Context) -> Response[str]:
    """Prometheus text."""
    context.observe()
    context.metrics.ready.set(not await context.readiness.missing())
    return Response(body=context.metrics.render(), headers={"Content-Type": CONTENT_TYPE})


async def openapi(request: Request, context: Context) -> Response[dict[str, Any]]:
    """This API, described in OpenAPI 3.1."""
    return json_response(context.description)
