"""What operators and their tools ask: health, readiness, metrics, the description of the API."""

from datetime import UTC, datetime
from typing import Any

import structlog

from pedro_ledger.api.gauges import Gauges
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response, json_response
from pedro_ledger.api.readiness import Readiness
from pedro_ledger.api.schemas import operator_answers
from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.ledger.times import time_text
from pedro_ledger.postgres.health import DatabaseHealth
from pedro_ledger.telemetry.metrics import CONTENT_TYPE, Metrics

log = structlog.get_logger(__name__)


async def health(request: Request, health: DatabaseHealth) -> Response[operator_answers.Health]:
    """As the app's own health route answered."""
    try:
        await health.ping()
    except Unavailable as error:
        log.warning("unhealthy", reason=error.facts.get("reason"))
        return json_response({"status": "unhealthy"}, 500)
    return json_response({"status": "healthy", "timestamp": time_text(datetime.now(UTC))})


async def livez(request: Request) -> Response[operator_answers.Health]:
    """The event loop turns."""
    return json_response({"status": "live"})


async def readyz(request: Request, readiness: Readiness) -> Response[operator_answers.Readiness]:
    """Whether to send traffic here, else what is missing; and what an operator must look at."""
    missing = await readiness.missing()
    found: operator_answers.Readiness = {"status": "ready"}
    if missing:
        found = {"status": "not ready", "missing": missing}
    if failing := readiness.failing():
        found["failing"] = failing
    if hindered := readiness.hindered():
        found["hindered"] = hindered
    return json_response(found, 503, {"Retry-After": "1"}) if missing else json_response(found)


async def metrics(request: Request, metrics: Metrics, gauges: Gauges, readiness: Readiness) -> Response[str]:
    """Prometheus text."""
    gauges.update()
    metrics.ready.set(not await readiness.missing())
    return Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE})


async def openapi(request: Request, description: dict[str, Any]) -> Response[dict[str, Any]]:
    """This API, described in OpenAPI 3.1."""
    return json_response(description)
