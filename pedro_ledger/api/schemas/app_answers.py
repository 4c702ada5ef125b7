"""Answers about the app's own tables."""

from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict  # pydantic reads typing.TypedDict from Python 3.12 on only

from pedro_ledger.api.schemas.scalars import Count, Json, SignedCredits, Time


class CreditBalance(TypedDict):
    """The app's `CreditBalance`."""

    id: str
    userId: str
    clerkUserId: str
    creditsRemaining: SignedCredits
    lastSyncedAt: Time
    createdAt: Time
    updatedAt: Time


class Usage(TypedDict):
    """A row of the app's `UsageHistory`."""

    id: str
    userId: str
    creditBalanceId: str
    operationType: str
    creditsUsed: Annotated[SignedCredits, Field(description="Negative for a refund.")]
    details: Json
    timestamp: Time


class User(TypedDict):
    """A user as the app reads it, with the balance and the newest usage."""

    id: str
    clerkId: str
    email: str | None
    name: str | None
    isActive: bool
    createdAt: Time
    updatedAt: Time
    creditBalance: CreditBalance | None
    usageHistory: Annotated[list[Usage], Field(description="The newest five, newest first.")]


class Plan(TypedDict):
    """The app's `Plan`."""

    id: str
    asaasId: str | None
    clerkId: str | None
    clerkName: str | None
    name: str
    credits: Annotated[SignedCredits, Field(description="Whole credits of a billing period.")]
    active: bool
    sortOrder: int
    currency: Annotated[str | None, Field(description="ISO 4217.")]
    priceMonthlyCents: int | None
    priceYearlyCents: int | None
    description: str | None
    features: Annotated[Any, Field(description="Feature costs of its users, by operation type.")]
    badge: str | None
    highlight: bool
    ctaType: str | None
    ctaLabel: str | None
    ctaUrl: str | None
    billingSource: str
    createdAt: Time
    updatedAt: Time


class Feature(TypedDict):
    """The app's `Feature`; it belongs to a workspace."""

    id: str
    workspaceId: str
    name: str
    description: str | None
    tags: list[str] | None
    createdAt: Time
    updatedAt: Time


class AdminSettings(TypedDict):
    """The app's one row of `AdminSettings`."""

    id: str
    featureCosts: Annotated[Any, Field(description="Credits by operation type.")]
    createdAt: Annotated[Time | None, Field(description="Null where there is no row yet.")]
    updatedAt: Annotated[Time | None, Field(description="Null where there is no row yet.")]


class StorageObject(TypedDict):
    """A file of a user."""

    id: str
    userId: str
    clerkUserId: str
    provider: str
    url: str
    pathname: str
    name: str
    contentType: str | None
    size: Annotated[int, Field(description="Bytes.")]
    deletedAt: Time | None
    createdAt: Time
    updatedAt: Time


class StorageTotals(TypedDict):
    """How many files a user has, and bytes in all; the deleted apart."""

    userId: str
    objects: Count
    bytes: Count
    deletedObjects: Count
    deletedBytes: Count


class SubscriptionEvent(TypedDict):
    """Something that happened to a subscription."""

    id: str
    userId: str | None
    clerkUserId: str
    planKey: str | None
    status: str
    eventType: str
    occurredAt: Time
    metadata: Json
    createdAt: Time
