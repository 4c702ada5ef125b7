"""Bodies that callers send, as strict models.

Names are camelCase as on the wire; nothing is coerced, and unknown fields are refused.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pedro_ledger.ledger.account import CREDITS_MAX

Credits = Annotated[int, Field(ge=1, le=CREDITS_MAX, description="Whole credits.")]
OperationTypeName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=63, description="A value of the app's `OperationType`."),
]
Details = Annotated[dict[str, Any], Field(description="Free JSON, kept with the entry.")]
EntryId = Annotated[str, Field(min_length=1, max_length=64, description="Id of an entry, from its receipt.")]
Name = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")]
Email = Annotated[str, Field(min_length=3, max_length=320, pattern=r"^[^@\s\x00]+@[^@\s\x00]+$")]


class Body(BaseModel):
    """What every body has in common."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DeductBody(Body):
    """Take credits for an operation; without `credits` its price is looked up."""

    operationType: OperationTypeName
    credits: Credits | None = None
    details: Details | None = None


class RefundBody(Body):
    """Give credits back: of an entry, or of an operation type.

    Without `credits`, all that is left of the entry.
    """

    entryId: EntryId | None = None
    operationType: OperationTypeName | None = None
    credits: Credits | None = None
    details: Details | None = None


class GrantBody(Body):
    """Bring in credits."""

    credits: Credits
    source: Literal["signup", "plan", "topup", "promo", "adjustment"]
    details: Details | None = None


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
        max_length=255,
        pattern=r"^[^\x00-\x1f\x7f]+$",
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


class UserBody(Body):
    """A user as the app's Clerk webhook makes it."""

    clerkId: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
    email: Email | None = None
    name: Name | None = None


class UserChange(Body):
    """What to change of a user; what is left out stays."""

    email: Email | None = None
    name: Name | None = None
    isActive: bool = True
