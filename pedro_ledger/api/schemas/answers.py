"""Answers about credits, described once: renderers fill these types, OpenAPI shows them.

Names are the wire's. Problems (RFC 9457) are what every refusal answers.
"""

from typing import Annotated, Any, Generic, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic reads typing.TypedDict from Python 3.12 on only

from pedro_ledger.api.schemas.scalars import (
    Count,
    Credits,
    Digest,
    Fingerprint,
    Item,
    Seq,
    SignedCredits,
    Status,
    Time,
)


class Page(TypedDict, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    nextCursor: Annotated[str | None, Field(description="Send it as `cursor` to get the next page; null on the last.")]


@with_config(ConfigDict(extra="allow"))
class Problem(TypedDict):
    """A refusal (RFC 9457).

    Facts that help stand beside these fields: `creditsAvailable`, `field` and the like.
    """

    type: str
    title: str
    status: int
    detail: str
    code: Annotated[str, Field(pattern="^[a-z_0-9]+$", description="Stable: decide by it, not by the title or detail.")]
    replayed: NotRequired[
        Annotated[
            bool, Field(description="True where the idempotency key was answered so before. A new key tries anew.")
        ]
    ]


class LotShare(TypedDict):
    """Credits that came from, or went to, one grant."""

    seq: Annotated[int, Field(ge=0, description="Of the grant's entry; 0 is the base, which never expires.")]
    credits: Annotated[SignedCredits, Field(description="Negative where they were taken.")]


class Rollover(TypedDict):
    """What becomes of credits that are left when their grant ends."""

    percent: Annotated[int, Field(ge=1, le=100, description="Of what is left, rounded down.")]
    cap: NotRequired[Annotated[Credits, Field(description="Credits that all rolled-over grants may hold together.")]]
    times: Annotated[int, Field(ge=1, le=12, description="How often it may still roll over.")]
    expiresIn: Annotated[int | Literal["nextPeriod"], Field(description="Seconds that the new grant lasts.")]


class Receipt(TypedDict):
    """What an operation did. The same idempotency key gets the same receipt again."""

    entryId: str
    userId: str
    type: Annotated[str, Field(description="The kind of operation.")]
    operationType: str | None
    credits: Annotated[Credits, Field(description="The size of the operation, never negative.")]
    creditsRemaining: Annotated[Credits, Field(description="The posted balance after it.")]
    creditsHeld: Credits
    seq: Seq
    timestamp: Time
    lots: NotRequired[
        Annotated[list[LotShare], Field(description="Where grants that end or have a priority took part.")]
    ]
    expiresAt: NotRequired[Annotated[Time, Field(description="When the grant or the hold ends.")]]
    leaseUntil: NotRequired[Annotated[Time, Field(description="When the hold lapses unless it is heard of.")]]
    holdId: NotRequired[str]
    holdRemaining: NotRequired[Annotated[Credits, Field(description="What an open hold still holds.")]]
    creditsOver: NotRequired[Annotated[Credits, Field(description="Of `credits`, what was beyond the hold.")]]
    creditsUncollected: NotRequired[
        Annotated[Credits, Field(description="What was asked for and not available, with `overage: cap`.")]
    ]


class Result(TypedDict):
    """What became of one operation of many: a receipt or an error."""

    status: Status
    receipt: NotRequired[Receipt]
    error: NotRequired[Problem]
    replayed: NotRequired[Annotated[bool, Field(description="True when the key had been answered before.")]]


class Results(TypedDict):
    """One result for each operation, in the order in which they were sent."""

    results: list[Result]


class Expiring(TypedDict):
    """Credits that end at a moment."""

    credits: Credits
    expiresAt: Time


class Balance(TypedDict):
    """Where a user stands, or stood."""

    userId: str
    creditsRemaining: Annotated[SignedCredits, Field(description="The posted balance; `creditsHeld` is part of it.")]
    creditsHeld: Credits
    creditsAvailable: Annotated[SignedCredits, Field(description="`creditsRemaining` without `creditsHeld`.")]
    seq: Annotated[Seq, Field(description="The last entry's; 0 before the first.")]
    updatedAt: Time | None
    lastSyncedAt: Time | None
    creditsExpiring: NotRequired[
        Annotated[list[Expiring], Field(description="The next three moments at which credits end.")]
    ]
    pendingEntries: NotRequired[
        Annotated[int, Field(ge=1, description="Entries that are due and not booked yet; what is shown includes them.")]
    ]


class OpenGrant(TypedDict):
    """A grant that ends or has a priority of its own, and what is left of it."""

    entryId: str
    source: str | None
    credits: Annotated[Credits, Field(description="As granted.")]
    remaining: Annotated[Credits, Field(description="That can be spent.")]
    held: Annotated[Credits, Field(description="Pinned by open holds.")]
    priority: Annotated[int, Field(ge=0, le=100, description="Lower burns first.")]
    expiresAt: Time | None
    rollover: Rollover | None


class RecurringGrant(TypedDict):
    """Credits of every period."""

    recurringGrantId: str
    credits: Credits
    source: str
    priority: int | None
    rollover: Rollover | None
    anchor: Annotated[Time, Field(description="When the first period begins; all are counted from it.")]
    unit: Literal["month", "day"]
    every: Annotated[int, Field(ge=1, description="Units of a period.")]
    timeZone: str
    nextAt: Annotated[Time, Field(description="When the next period begins that is granted.")]
    periodsMissed: Annotated[Count, Field(description="Periods that went by without their grant.")]
    reason: Annotated[str | None, Field(description="Why the grant that is due was not made; it is tried again.")]


class RecurringGrants(TypedDict):
    """A user's recurring grants."""

    items: list[RecurringGrant]


class Deleted(TypedDict):
    """What is gone."""

    deleted: Annotated[str, Field(description="Its id.")]


class Base(TypedDict):
    """Credits that never expire and have the default priority."""

    remaining: Credits
    held: Credits


class Grants(TypedDict):
    """A user's open grants in the order in which they burn, and the rest of the balance."""

    items: list[OpenGrant]
    base: Annotated[Base, Field(description="Burns after grants of priority 50 and below, before those above.")]


HoldState = Literal["open", "captured", "voided", "lapsed"]
OnLapse = Literal["release", "capture_used", "capture_all"]


class Hold(TypedDict):
    """Credits set aside for work whose cost is not known yet."""

    holdId: str
    userId: str
    state: HoldState
    operationType: str | None
    reference: str | None
    onLapse: OnLapse
    creditsReserved: Annotated[Credits, Field(description="All that was ever held for it.")]
    creditsHeld: Annotated[Credits, Field(description="What it holds now.")]
    creditsCaptured: Credits
    expiresAt: Annotated[Time, Field(description="Its hard end.")]
    leaseUntil: Time | None
    createdAt: Time
    closedAt: Time | None
    closedBy: Annotated[str | None, Field(description="The entry that closed it.")]


class Holds(TypedDict):
    """A user's open holds, oldest first."""

    items: list[Hold]


class Heartbeat(TypedDict):
    """A hold after it was heard of."""

    holdId: str
    leaseUntil: Time | None
    expiresAt: Time
    creditsHeld: Credits
    creditsAvailable: Annotated[Credits, Field(description="What an extend could still take.")]


class Tokens(TypedDict):
    """Disjoint counts of tokens."""

    uncachedInput: Count
    cachedInput: Count
    cacheWrite: Count
    output: Count


class Entry(TypedDict):
    """One immutable line of a user's ledger."""

    id: str
    userId: str
    seq: Seq
    type: str
    operationType: str | None
    credits: Annotated[SignedCredits, Field(description="The change of the balance.")]
    balanceAfter: Credits
    heldAfter: Credits
    heldChange: NotRequired[Annotated[SignedCredits, Field(description="The change of what is held.")]]
    lots: NotRequired[list[LotShare]]
    model: NotRequired[Annotated[str, Field(description="Of the AI model, where the caller named one.")]]
    tokens: NotRequired[Annotated[Tokens, Field(description="What was priced, where the caller counted tokens.")]]
    expiresAt: NotRequired[
        Annotated[Time, Field(description="When a grant or hold ends; of an expiry, when it took effect.")]
    ]
    relatedEntryId: Annotated[
        str | None, Field(description="The entry that this one refunds, captures, voids or lets expire.")
    ]
    source: Annotated[str | None, Field(description="Where granted credits came from.")]
    idempotencyKey: str
    keyId: Annotated[str, Field(description="The API key that asked, or the part of the daemon that acted.")]
    price: Annotated[str | None, Field(description="Where the price was found, when the caller named no credits.")]
    details: dict[str, Any] | None
    timestamp: Time
    hash: Digest


class EntryRefund(TypedDict):
    """One refund of an entry."""

    entryId: str
    credits: Credits
    timestamp: Time


class EntryInFull(Entry):
    """An entry with its refunds and its place in the hash chain."""

    fingerprint: Fingerprint
    previousHash: Digest
    refunds: list[EntryRefund]


class HoldInFull(Hold):
    """A hold with its entries."""

    entries: list[Entry]


class Proof(TypedDict):
    """What it takes to check one entry against a signed checkpoint.

    `docs/formats/proof.md` specifies it.
    """

    format: str
    entry: dict[str, Any]
    previousHash: Digest
    after: list[Digest]
    account: dict[str, Any]
    index: Count
    path: list[Digest]
    checkpoint: dict[str, Any]


Window = Literal["day", "month"]


class Limit(TypedDict):
    """At most so many credits may be spent and held in a window."""

    limitId: str
    credits: Credits
    window: Annotated[Window, Field(description="Of the calendar, in `timeZone`.")]
    timeZone: Annotated[str, Field(description="IANA.")]
    operationType: Annotated[str | None, Field(description="Null: operations of any type.")]
    onBehalfOf: Annotated[str | None, Field(description="Null: for anybody.")]


class SharedLimit(Limit):
    """A limit of each user of a plan, or of every user."""

    plan: Annotated[str | None, Field(description="`Plan.id`; null: of every user.")]


class LimitUse(Limit):
    """How a user stands with a limit."""

    scope: Annotated[Literal["user", "plan", "all"], Field(description="Whose limit it is.")]
    creditsSpent: Annotated[Credits, Field(description="In the window, less what was refunded of it.")]
    creditsHeld: Annotated[Credits, Field(description="By open holds that it counts.")]
    creditsLeft: Credits
    resetsAt: Time


class Limits(TypedDict):
    """A user's own limits."""

    items: list[Limit]


class SharedLimits(TypedDict):
    """The limits of plans and of all users."""

    items: list[SharedLimit]


class LimitUses(TypedDict):
    """How a user stands with every limit that applies."""

    items: list[LimitUse]
