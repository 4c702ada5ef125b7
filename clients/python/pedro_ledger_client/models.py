"""What the ledger answers. Made of its OpenAPI description: do not edit."""

from typing import Any, Literal, NotRequired, TypedDict


class AdminSettings(TypedDict):
    """The app's one row of `AdminSettings`."""

    id: str
    featureCosts: Any
    createdAt: str | None
    updatedAt: str | None


class Expiring(TypedDict):
    """Credits that end at a moment."""

    credits: int
    expiresAt: str


class Balance(TypedDict):
    """Where a user stands, or stood."""

    userId: str
    creditsRemaining: int
    creditsHeld: int
    creditsAvailable: int
    seq: int
    updatedAt: str | None
    lastSyncedAt: str | None
    creditsExpiring: NotRequired[list[Expiring]]
    pendingEntries: NotRequired[int]


class Base(TypedDict):
    """Credits that never expire and have the default priority."""

    remaining: int
    held: int


class CreditBalance(TypedDict):
    """The app's `CreditBalance`."""

    id: str
    userId: str
    clerkUserId: str
    creditsRemaining: int
    lastSyncedAt: str
    createdAt: str
    updatedAt: str


class Deleted(TypedDict):
    """What is gone."""

    deleted: str


class LotShare(TypedDict):
    """Credits that came from, or went to, one grant."""

    seq: int
    credits: int


class Tokens(TypedDict):
    """Disjoint counts of tokens."""

    uncachedInput: int
    cachedInput: int
    cacheWrite: int
    output: int


class Entry(TypedDict):
    """One immutable line of a user's ledger."""

    id: str
    userId: str
    seq: int
    type: str
    operationType: str | None
    credits: int
    balanceAfter: int
    heldAfter: int
    heldChange: NotRequired[int]
    lots: NotRequired[list[LotShare]]
    model: NotRequired[str]
    tokens: NotRequired[Tokens]
    expiresAt: NotRequired[str]
    relatedEntryId: str | None
    source: str | None
    idempotencyKey: str
    keyId: str
    price: str | None
    details: dict[str, Any] | None
    timestamp: str
    hash: str


class EntryRefund(TypedDict):
    """One refund of an entry."""

    entryId: str
    credits: int
    timestamp: str


class EntryInFull(TypedDict):
    """An entry with its refunds and its place in the hash chain."""

    id: str
    userId: str
    seq: int
    type: str
    operationType: str | None
    credits: int
    balanceAfter: int
    heldAfter: int
    heldChange: NotRequired[int]
    lots: NotRequired[list[LotShare]]
    model: NotRequired[str]
    tokens: NotRequired[Tokens]
    expiresAt: NotRequired[str]
    relatedEntryId: str | None
    source: str | None
    idempotencyKey: str
    keyId: str
    price: str | None
    details: dict[str, Any] | None
    timestamp: str
    hash: str
    fingerprint: str
    previousHash: str
    refunds: list[EntryRefund]


class Feature(TypedDict):
    """The app's `Feature`; it belongs to a workspace."""

    id: str
    workspaceId: str
    name: str
    description: str | None
    tags: list[str] | None
    createdAt: str
    updatedAt: str


class FeaturePage(TypedDict):
    """One page of a list."""

    items: list[Feature]
    nextCursor: str | None


class Rollover(TypedDict):
    """What becomes of credits that are left when their grant ends."""

    percent: int
    cap: NotRequired[int]
    times: int
    expiresIn: int | Literal["nextPeriod"]


class OpenGrant(TypedDict):
    """A grant that ends or has a priority of its own, and what is left of it."""

    entryId: str
    source: str | None
    credits: int
    remaining: int
    held: int
    priority: int
    expiresAt: str | None
    rollover: Rollover | None


class Grants(TypedDict):
    """A user's open grants in the order in which they burn, and the rest of the balance."""

    items: list[OpenGrant]
    base: Base


class Health(TypedDict):
    """Whether the daemon, or its database, answers."""

    status: Literal["healthy", "unhealthy", "live"]
    timestamp: NotRequired[str]


class Heartbeat(TypedDict):
    """A hold after it was heard of."""

    holdId: str
    leaseUntil: str | None
    expiresAt: str
    creditsHeld: int
    creditsAvailable: int


class Hold(TypedDict):
    """Credits set aside for work whose cost is not known yet."""

    holdId: str
    userId: str
    state: Literal["open", "captured", "voided", "lapsed"]
    operationType: str | None
    reference: str | None
    onLapse: Literal["release", "capture_used", "capture_all"]
    creditsReserved: int
    creditsHeld: int
    creditsCaptured: int
    expiresAt: str
    leaseUntil: str | None
    createdAt: str
    closedAt: str | None
    closedBy: str | None


class HoldInFull(TypedDict):
    """A hold with its entries."""

    holdId: str
    userId: str
    state: Literal["open", "captured", "voided", "lapsed"]
    operationType: str | None
    reference: str | None
    onLapse: Literal["release", "capture_used", "capture_all"]
    creditsReserved: int
    creditsHeld: int
    creditsCaptured: int
    expiresAt: str
    leaseUntil: str | None
    createdAt: str
    closedAt: str | None
    closedBy: str | None
    entries: list[Entry]


class Holds(TypedDict):
    """A user's open holds, oldest first."""

    items: list[Hold]


class Limit(TypedDict):
    """At most so many credits may be spent and held in a window."""

    limitId: str
    credits: int
    window: Literal["day", "month"]
    timeZone: str
    operationType: str | None
    onBehalfOf: str | None


class LimitUse(TypedDict):
    """How a user stands with a limit."""

    limitId: str
    credits: int
    window: Literal["day", "month"]
    timeZone: str
    operationType: str | None
    onBehalfOf: str | None
    scope: Literal["user", "plan", "all"]
    creditsSpent: int
    creditsHeld: int
    creditsLeft: int
    resetsAt: str


class LimitUses(TypedDict):
    """How a user stands with every limit that applies."""

    items: list[LimitUse]


class Limits(TypedDict):
    """A user's own limits."""

    items: list[Limit]


class Plan(TypedDict):
    """The app's `Plan`."""

    id: str
    asaasId: str | None
    clerkId: str | None
    clerkName: str | None
    name: str
    credits: int
    active: bool
    sortOrder: int
    currency: str | None
    priceMonthlyCents: int | None
    priceYearlyCents: int | None
    description: str | None
    features: Any
    badge: str | None
    highlight: bool
    ctaType: str | None
    ctaLabel: str | None
    ctaUrl: str | None
    billingSource: str
    createdAt: str
    updatedAt: str


class PlanPage(TypedDict):
    """One page of a list."""

    items: list[Plan]
    nextCursor: str | None


class Problem(TypedDict):
    """A refusal (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    replayed: NotRequired[bool]


class Proof(TypedDict):
    """What it takes to check one entry against a signed checkpoint."""

    format: str
    entry: dict[str, Any]
    previousHash: str
    after: list[str]
    account: dict[str, Any]
    index: int
    path: list[str]
    checkpoint: dict[str, Any]


class Readiness(TypedDict):
    """Whether to send traffic here."""

    status: Literal["ready", "not ready"]
    missing: NotRequired[list[str]]
    failing: NotRequired[list[str]]
    hindered: NotRequired[list[str]]


class Receipt(TypedDict):
    """What an operation did. The same idempotency key gets the same receipt again."""

    entryId: str
    userId: str
    type: str
    operationType: str | None
    credits: int
    creditsRemaining: int
    creditsHeld: int
    seq: int
    timestamp: str
    lots: NotRequired[list[LotShare]]
    expiresAt: NotRequired[str]
    leaseUntil: NotRequired[str]
    holdId: NotRequired[str]
    holdRemaining: NotRequired[int]
    creditsOver: NotRequired[int]
    creditsUncollected: NotRequired[int]


class RecurringGrant(TypedDict):
    """Credits of every period."""

    recurringGrantId: str
    credits: int
    source: str
    priority: int | None
    rollover: Rollover | None
    anchor: str
    unit: Literal["month", "day"]
    every: int
    timeZone: str
    nextAt: str
    periodsMissed: int
    reason: str | None


class RecurringGrants(TypedDict):
    """A user's recurring grants."""

    items: list[RecurringGrant]


class Report(TypedDict):
    """A report; each has columns of its own."""

    report: Literal[
        "user-growth", "top-operations", "low-balance", "usage-by-day", "top-users", "liability", "breakage", "holds"
    ]
    timestamp: str
    items: list[dict[str, Any]]


class Result(TypedDict):
    """What became of one operation of many: a receipt or an error."""

    status: int
    receipt: NotRequired[Receipt]
    error: NotRequired[Problem]
    replayed: NotRequired[bool]


class Results(TypedDict):
    """One result for each operation, in the order in which they were sent."""

    results: list[Result]


class SharedLimit(TypedDict):
    """A limit of each user of a plan, or of every user."""

    limitId: str
    credits: int
    window: Literal["day", "month"]
    timeZone: str
    operationType: str | None
    onBehalfOf: str | None
    plan: str | None


class SharedLimits(TypedDict):
    """The limits of plans and of all users."""

    items: list[SharedLimit]


class StatementPage(TypedDict):
    """One page of a list."""

    items: list[Entry]
    nextCursor: str | None


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
    size: int
    deletedAt: str | None
    createdAt: str
    updatedAt: str


class StoragePage(TypedDict):
    """One page of a list."""

    items: list[StorageObject]
    nextCursor: str | None


class StorageTotals(TypedDict):
    """How many files a user has, and bytes in all; the deleted apart."""

    userId: str
    objects: int
    bytes: int
    deletedObjects: int
    deletedBytes: int


class SubscriptionEvent(TypedDict):
    """Something that happened to a subscription."""

    id: str
    userId: str | None
    clerkUserId: str
    planKey: str | None
    status: str
    eventType: str
    occurredAt: str
    metadata: Any
    createdAt: str


class SubscriptionEventPage(TypedDict):
    """One page of a list."""

    items: list[SubscriptionEvent]
    nextCursor: str | None


class Usage(TypedDict):
    """A row of the app's `UsageHistory`."""

    id: str
    userId: str
    creditBalanceId: str
    operationType: str
    creditsUsed: int
    details: Any
    timestamp: str


class UsagePage(TypedDict):
    """One page of a list."""

    items: list[Usage]
    nextCursor: str | None


class User(TypedDict):
    """A user as the app reads it, with the balance and the newest usage."""

    id: str
    clerkId: str
    email: str | None
    name: str | None
    isActive: bool
    createdAt: str
    updatedAt: str
    creditBalance: CreditBalance | None
    usageHistory: list[Usage]


class UserPage(TypedDict):
    """One page of a list."""

    items: list[User]
    nextCursor: str | None


class WebhookDelivery(TypedDict):
    """A delivery that could not be applied."""

    id: str
    provider: Literal["clerk", "asaas", "app"]
    eventId: str
    eventType: str
    subject: str | None
    state: Literal["waiting", "rejected"]
    reason: str | None
    detail: str | None
    userId: str | None
    attempts: int
    nextTryAt: str | None
    occurredAt: str
    receivedAt: str


class WebhookDeliveryPage(TypedDict):
    """One page of a list."""

    items: list[WebhookDelivery]
    nextCursor: str | None


class WebhookTaken(TypedDict):
    """What became of a delivery. Sending it again changes nothing."""

    state: Literal["applied", "waiting", "stale", "ignored", "rejected"]
    reason: NotRequired[str]
    repeated: bool


class WhatIfLine(TypedDict):
    """What a user was charged for operations of a type and model, and what it would be."""

    userId: str
    operationType: str | None
    model: str | None
    operations: int
    credits: int
    creditsWouldBe: int


class WhatIf(TypedDict):
    """What was charged, and what other prices would have charged. Nothing is booked."""

    credits: int
    creditsWouldBe: int
    items: list[WhatIfLine]
