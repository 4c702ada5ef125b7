"""Answers for operators: reports, webhook deliveries, probes."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # pydantic reads typing.TypedDict from Python 3.12 on only

from pedro_ledger.api.schemas.scalars import Count, SignedCount, Time
from pedro_ledger.reports.catalogue import REPORTS


class Report(TypedDict):
    """A report; each has columns of its own."""

    report: Annotated[str, Field(json_schema_extra={"enum": [*REPORTS]})]
    timestamp: Time
    items: list[dict[str, Any]]


class WhatIfLine(TypedDict):
    """What a user was charged for operations of a type and model, and what it would be."""

    userId: str
    operationType: str | None
    model: str | None
    operations: Annotated[Count, Field(description="Deducts and holds.")]
    credits: Annotated[SignedCount, Field(description="As charged.")]
    creditsWouldBe: SignedCount


class WhatIf(TypedDict):
    """What was charged, and what other prices would have charged. Nothing is booked."""

    credits: Annotated[SignedCount, Field(description="As charged, of all lines.")]
    creditsWouldBe: Annotated[SignedCount, Field(description="Of all lines.")]
    items: Annotated[list[WhatIfLine], Field(description="The largest differences first.")]


class WebhookTaken(TypedDict):
    """What became of a delivery. Sending it again changes nothing."""

    state: Literal["applied", "waiting", "stale", "ignored", "rejected"]
    reason: NotRequired[Annotated[str, Field(description="Why it waits, or was rejected.")]]
    repeated: bool


class WebhookDelivery(TypedDict):
    """A delivery that could not be applied."""

    id: str
    provider: Annotated[Literal["clerk", "asaas", "app"], Field(description="`app` for what the app recorded itself.")]
    eventId: str
    eventType: str
    subject: str | None
    state: Literal["waiting", "rejected"]
    reason: Annotated[str | None, Field(description="A stable word for what is in the way.")]
    detail: str | None
    userId: str | None
    attempts: Count
    nextTryAt: Annotated[Time | None, Field(description="Null for one that was rejected.")]
    occurredAt: Time
    receivedAt: Time


class Health(TypedDict):
    """Whether the daemon, or its database, answers."""

    status: Literal["healthy", "unhealthy", "live"]
    timestamp: NotRequired[Time]


class Readiness(TypedDict):
    """Whether to send traffic here."""

    status: Literal["ready", "not ready"]
    missing: NotRequired[Annotated[list[str], Field(description="What keeps traffic away.")]]
    failing: NotRequired[Annotated[list[str], Field(description="Upkeep that fails: somebody must look.")]]
    hindered: NotRequired[
        Annotated[list[str], Field(description="What of the app's schema keeps something from some users.")]
    ]
