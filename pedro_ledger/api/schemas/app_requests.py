"""Bodies about the app's own tables. Names, limits and defaults are its schema's."""

from typing import Annotated

from pydantic import Field

from pedro_ledger.api.schemas.queries import REPORT_ROWS_MAX, Time
from pedro_ledger.api.schemas.requests import Body, Moment, OperationTypeName, UserRef
from pedro_ledger.ledger.account import CREDITS_MAX
from pedro_ledger.ledger.prices import RATE_MAX
from pedro_ledger.store.app.fields import (
    INT_MAX,
    Cost,
    Costs,
    ExternalId,
    FullText,
    Json,
    LongText,
    PlanCredits,
    PlanFields,
    Tags,
    Text,
)

_NOT_SENT = "-"
"""A default that nobody reads: a change takes what was sent, and nothing else."""


class PlanBody(PlanFields, Body):
    """A plan. `features` overrides feature costs for its users."""


class PlanChange(PlanBody):
    """What to change of a plan; what is left out stays."""

    name: FullText = _NOT_SENT
    credits: PlanCredits = 0


class FeatureBody(Body):
    """A feature of a workspace; a key that is bound to one need not name it."""

    workspaceId: ExternalId | None = None
    name: FullText
    description: LongText | None = None
    tags: Tags = Field([])


class FeatureChange(Body):
    """What to change of a feature; what is left out stays."""

    name: FullText = _NOT_SENT
    description: LongText | None = None
    tags: Tags = Field([])


Rate = Annotated[int, Field(ge=0, le=RATE_MAX, description="Whole credits per million tokens.")]
Model = Annotated[
    str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$", description="Its name, or `*` for any.")
]


class TokenPriceBody(Body):
    """What tokens of a model cost. What is cached costs what it does uncached, unless told."""

    uncachedInput: Rate
    cachedInput: Rate | None = None
    cacheWrite: Rate | None = None
    output: Rate
    minimum: Annotated[int, Field(ge=0, le=CREDITS_MAX, description="Credits at least.")] | None = None


TokenPrices = Annotated[
    dict[OperationTypeName, Annotated[dict[Model, TokenPriceBody], Field(max_length=1_000)]],
    Field(max_length=1_000, description="By operation type and model."),
]


class WhatIfBody(Body):
    """Other prices for what was charged in a span of time."""

    since: Annotated[Moment, Field(alias="from", description="Only what was charged at this moment or later.")]
    until: Annotated[Moment, Field(alias="to", description="Only what was charged before this moment.")]
    featureCosts: Annotated[dict[OperationTypeName, Cost], Field(max_length=1_000)] = Field({})
    tokenPrices: TokenPrices = Field({})
    limit: Annotated[int, Field(ge=1, le=REPORT_ROWS_MAX, description="How many lines at most.")] = 1_000


class SettingsChange(Body):
    """Feature costs and token prices to merge: a value sets one, null removes it."""

    featureCosts: Annotated[Costs, Field(max_length=1_000)] | None = None
    tokenPrices: (
        Annotated[
            dict[OperationTypeName, Annotated[dict[Model, TokenPriceBody | None], Field(max_length=1_000)] | None],
            Field(max_length=1_000, description="By operation type and model."),
        ]
        | None
    ) = None


class StorageBody(Body):
    """A file of a user; `size` in bytes."""

    user: UserRef
    provider: FullText = "vercel_blob"
    url: FullText
    pathname: FullText
    name: FullText
    contentType: Text | None = None
    size: Annotated[int, Field(ge=0, le=INT_MAX, description="Bytes.")]


class SubscriptionEventBody(Body):
    """Something that happened to a subscription, now or at `occurredAt`."""

    clerkUserId: ExternalId
    planKey: Text | None = None
    status: FullText
    eventType: FullText
    occurredAt: Time | None = None
    metadata: Json | None = None
