"""Bodies about the app's own tables. Names, limits and defaults are its schema's."""

from typing import Annotated, Any

from pydantic import Field

from pedro_ledger.api.schemas.requests import Body, UserRef
from pedro_ledger.ledger.account import CREDITS_MAX

INT_MAX = 2**31 - 1
Text = Annotated[str, Field(max_length=2_000, pattern=r"^[^\x00]*$")]
LongText = Annotated[str, Field(max_length=20_000, pattern=r"^[^\x00]*$")]
FullText = Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"^[^\x00]*$")]
ExternalId = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
Int = Annotated[int, Field(ge=-INT_MAX - 1, le=INT_MAX)]
Cents = Annotated[int, Field(ge=0, le=INT_MAX)]
Tags = Annotated[list[Text], Field(max_length=100)]
Json = Annotated[dict[str, Any], Field(description="Free JSON.")]
PlanCredits = Annotated[int, Field(ge=0, le=CREDITS_MAX, description="Whole credits of a billing period.")]
Cost = Annotated[int, Field(ge=0, le=CREDITS_MAX)]
Costs = dict[Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00]+$")], Cost | None]

_NOT_SENT = "-"
"""A default that nobody reads: a change takes what was sent, and nothing else."""


class PlanBody(Body):
    """A plan. `features` overrides feature costs for its users."""

    name: FullText
    credits: PlanCredits
    asaasId: ExternalId | None = None  # noqa: N815 - the wire's own names, as below
    clerkId: ExternalId | None = None  # noqa: N815
    clerkName: Text | None = None  # noqa: N815
    active: bool = True
    sortOrder: Int = 0  # noqa: N815
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217.")] | None = None
    priceMonthlyCents: Cents | None = None  # noqa: N815
    priceYearlyCents: Cents | None = None  # noqa: N815
    description: LongText | None = None
    features: Json | None = None
    badge: Text | None = None
    highlight: bool = False
    ctaType: Text | None = "checkout"  # noqa: N815
    ctaLabel: Text | None = None  # noqa: N815
    ctaUrl: Text | None = None  # noqa: N815
    billingSource: FullText = "manual"  # noqa: N815


class PlanChange(PlanBody):
    """What to change of a plan; what is left out stays."""

    name: FullText = _NOT_SENT
    credits: PlanCredits = 0


class FeatureBody(Body):
    """A feature of a workspace; a key that is bound to one need not name it."""

    workspaceId: ExternalId | None = None  # noqa: N815
    name: FullText
    description: LongText | None = None
    tags: Tags = Field([])


class FeatureChange(Body):
    """What to change of a feature; what is left out stays."""

    name: FullText = _NOT_SENT
    description: LongText | None = None
    tags: Tags = Field([])


class SettingsChange(Body):
    """Feature costs to merge: a number of credits sets one, null removes it."""

    featureCosts: Annotated[Costs, Field(max_length=1_000)]  # noqa: N815


class StorageBody(Body):
    """A file of a user; `size` in bytes."""

    user: UserRef
    provider: FullText = "vercel_blob"
    url: FullText
    pathname: FullText
    name: FullText
    contentType: Text | None = None  # noqa: N815
    size: Annotated[int, Field(ge=0, le=INT_MAX, description="Bytes.")]


class SubscriptionEventBody(Body):
    """Something that happened to a subscription, now or at `occurredAt`."""

    clerkUserId: ExternalId  # noqa: N815
    planKey: Text | None = None  # noqa: N815
    status: FullText
    eventType: FullText  # noqa: N815
    occurredAt: Annotated[str, Field(max_length=40, description="RFC 3339.")] | None = None  # noqa: N815
    metadata: Json | None = None
