"""Bodies that callers send, as strict models.

Names are camelCase as on the wire; nothing is coerced, and unknown fields are refused.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pedro_ledger.api.schemas.refs import CLERK_ID_LENGTH_MAX, CLERK_ID_PATTERN, USER_REF_LENGTH_MAX, USER_REF_PATTERN
from pedro_ledger.ledger.account import CREDITS_MAX
from pedro_ledger.ledger.tokens import COUNT_MAX

Credits = Annotated[int, Field(ge=1, le=CREDITS_MAX, description="Whole credits.")]
OperationTypeName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=63, description="A value of the app's `OperationType`."),
]
Details = Annotated[dict[str, Any], Field(description="Free JSON, kept with the entry.")]
EntryId = Annotated[str, Field(min_length=1, max_length=64, description="Id of an entry, from its receipt.")]
Name = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")]
Email = Annotated[str, Field(min_length=3, max_length=320, pattern=r"^[^@\s\x00]+@[^@\s\x00]+$")]


Priority = Annotated[int, Field(ge=0, le=100, description="Lower burns first; 50 unless told, 40 for a bonus.")]
Seconds = Annotated[int, Field(ge=1, le=10 * 366 * 86_400, description="Seconds from now.")]
HoldSeconds = Annotated[int, Field(ge=5, le=86_400, description="Seconds from now, at most a day in all.")]
Reason = Annotated[
    str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$", description="Why; statements show it.")
]
Moment = Annotated[
    str,
    Field(
        max_length=40,
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)$",
        description="RFC 3339, with a zone.",
        json_schema_extra={"format": "date-time"},
    ),
]
Label = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
ModelName = Annotated[Label, Field(description="Of the AI model; token prices are by it.")]
Behalf = Annotated[Label, Field(description="For whom of the user's team it is.")]


class Body(BaseModel):
    """What every body has in common."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


TokenCount = Annotated[int, Field(ge=0, le=COUNT_MAX)]


class TokensBody(Body):
    """Disjoint counts: each token is counted once. Reasoning counts as output."""

    uncachedInput: TokenCount = 0
    cachedInput: TokenCount = 0
    cacheWrite: TokenCount = 0
    output: TokenCount = 0


class DeductBody(Body):
    """Take credits for an operation; without `credits` or `tokens` its price is looked up."""

    operationType: OperationTypeName
    credits: Credits | None = None
    tokens: TokensBody | None = None
    model: ModelName | None = None
    details: Details | None = None
    onBehalfOf: Behalf | None = None


class RefundBody(Body):
    """Give credits back: of an entry, or of an operation type.

    Without `credits`, all that is left of the entry.
    """

    entryId: EntryId | None = None
    operationType: OperationTypeName | None = None
    credits: Credits | None = None
    details: Details | None = None
    reason: Reason | None = None


class RolloverRule(Body):
    """How much of what is left rolls over, and how often."""

    percent: Annotated[int, Field(ge=1, le=100, description="Of what is left, rounded down.")]
    cap: Annotated[Credits, Field(description="Credits that all rolled-over grants may hold together.")] | None = None
    times: Annotated[int, Field(ge=1, le=12, description="How often what is left may roll over.")] = 1


class RolloverBody(RolloverRule):
    """What becomes of credits that are left when the grant ends."""

    expiresIn: Annotated[Seconds, Field(description="Seconds that the new grant lasts.")]


class PeriodRolloverBody(RolloverRule):
    """What becomes of credits that are left when their period ends."""

    expiresIn: Annotated[
        Seconds | Literal["nextPeriod"],
        Field(description="Seconds that the new grant lasts, or until the next period ends."),
    ] = "nextPeriod"


class RecurringGrantBody(Body):
    """Bring in credits at the beginning of every period; they end with it."""

    credits: Credits
    source: Literal["plan", "promo", "bonus"] = "plan"
    priority: Priority | None = None
    anchor: Annotated[Moment, Field(description="When the first period begins; now unless told.")] | None = None
    unit: Annotated[Literal["month", "day"], Field(description="What periods are made of.")] = "month"
    every: Annotated[int, Field(ge=1, le=366, description="Units of a period: 60 months or 366 days at most.")] = 1
    timeZone: Annotated[
        str, Field(min_length=1, max_length=64, description="IANA, such as `America/Sao_Paulo`: whose clocks count.")
    ] = "UTC"
    rollover: PeriodRolloverBody | None = None


class GrantBody(Body):
    """Bring in credits, for good or until a moment."""

    credits: Credits
    source: Literal["signup", "plan", "topup", "promo", "bonus", "adjustment"]
    details: Details | None = None
    expiresAt: Moment | None = None
    expiresIn: Seconds | None = None
    priority: Priority | None = None
    rollover: RolloverBody | None = None
    reason: Reason | None = None


class AdjustmentBody(Body):
    """Correct a balance by hand; what is not available cannot be taken."""

    credits: Annotated[
        int, Field(ge=-CREDITS_MAX, le=CREDITS_MAX, description="Whole credits; negative takes them back.")
    ]
    reason: Reason
    details: Details | None = None


class HoldBody(Body):
    """Set credits aside for work whose cost is not known yet."""

    operationType: OperationTypeName
    credits: Credits | None = None
    tokens: Annotated[TokensBody, Field(description="What it may take, in place of `credits`.")] | None = None
    model: ModelName | None = None
    creditsMin: Annotated[Credits, Field(description="Hold what is available from so many on.")] | None = None
    expiresIn: HoldSeconds = 300
    lease: (
        Annotated[int, Field(ge=5, le=600, description="Seconds after which it lapses unless it is heard of.")] | None
    ) = None
    onLapse: Literal["release", "capture_used", "capture_all"] = "release"
    reference: Annotated[Label, Field(description="The caller's name for the work; one open hold has it.")] | None = (
        None
    )
    onBehalfOf: Behalf | None = None
    details: Details | None = None


class CaptureBody(Body):
    """Charge what the work took; `credits: 0` when final gives everything back."""

    credits: Annotated[int, Field(ge=0, le=CREDITS_MAX, description="Whole credits.")] | None = None
    tokens: Annotated[TokensBody, Field(description="What it took, in place of `credits`.")] | None = None
    model: Annotated[ModelName, Field(description="The hold's, unless told.")] | None = None
    final: bool = True
    overage: Literal["refuse", "allow", "cap"] = "refuse"
    details: Details | None = None


class ExtendBody(Body):
    """Hold more credits, or for longer, or both."""

    credits: Credits | None = None
    expiresIn: HoldSeconds | None = None
    details: Details | None = None


class VoidBody(Body):
    """Give back everything that is still held."""

    details: Details | None = None


class HeartbeatBody(Body):
    """The work goes on."""

    used: (
        Annotated[int, Field(ge=0, le=CREDITS_MAX, description="Credits used so far, for `onLapse: capture_used`.")]
        | None
    ) = None


class LimitBody(Body):
    """At most so many credits may be spent and held in a window."""

    credits: Annotated[int, Field(ge=0, le=CREDITS_MAX, description="Whole credits; 0 stops all spending.")]
    window: Annotated[Literal["day", "month"], Field(description="Of the calendar, in `timeZone`.")]
    timeZone: Annotated[str, Field(min_length=1, max_length=64, description="IANA, such as `America/Sao_Paulo`.")] = (
        "UTC"
    )
    operationType: Annotated[OperationTypeName, Field(description="Only operations of this type.")] | None = None
    onBehalfOf: Annotated[Label, Field(description="Only what is done for this member.")] | None = None


class SharedLimitBody(LimitBody):
    """A limit of each user of a plan, or of every user."""

    plan: Annotated[Label, Field(description="`Plan.id`; without it the limit is of every user.")] | None = None


class BatchBody(Body):
    """Many operations of any users."""

    operations: Annotated[list[Any], Field(min_length=1, max_length=1000)]


IdempotencyKey = Annotated[
    str, Field(pattern=r"^[\x20-\x7e]{1,255}$", description="1 to 255 printable ASCII characters.")
]
UserRef = Annotated[
    str,
    Field(
        min_length=1,
        max_length=USER_REF_LENGTH_MAX,
        pattern=USER_REF_PATTERN,
        description="`User.id`, or `clerk:` and the Clerk id.",
    ),
]


class BatchDeduct(DeductBody):
    """A deduct in a batch."""

    type: Literal["deduct"]
    user: UserRef
    idempotencyKey: IdempotencyKey


class BatchRefund(RefundBody):
    """A refund in a batch."""

    type: Literal["refund"]
    user: UserRef
    idempotencyKey: IdempotencyKey


class BatchGrant(GrantBody):
    """A grant in a batch; needs the scope `admin`."""

    type: Literal["grant"]
    user: UserRef
    idempotencyKey: IdempotencyKey


class BatchHold(HoldBody):
    """A hold in a batch."""

    type: Literal["hold"]
    user: UserRef
    idempotencyKey: IdempotencyKey


class BatchCapture(CaptureBody):
    """A capture in a batch."""

    type: Literal["capture"]
    holdId: EntryId
    idempotencyKey: IdempotencyKey


class BatchExtend(ExtendBody):
    """An extend in a batch."""

    type: Literal["extend"]
    holdId: EntryId
    idempotencyKey: IdempotencyKey


class BatchVoid(VoidBody):
    """A void in a batch."""

    type: Literal["void"]
    holdId: EntryId
    idempotencyKey: IdempotencyKey


class UserBody(Body):
    """A user as the app's Clerk webhook makes it."""

    clerkId: Annotated[str, Field(min_length=1, max_length=CLERK_ID_LENGTH_MAX, pattern=CLERK_ID_PATTERN)]
    email: Email | None = None
    name: Name | None = None


class UserChange(Body):
    """What to change of a user; what is left out stays."""

    email: Email | None = None
    name: Name | None = None
    isActive: bool = True
