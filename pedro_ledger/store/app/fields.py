"""What may stand in the columns of the app's tables: types, limits and defaults are those of its
schema.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

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


class PlanFields(BaseModel):
    """A plan. `features` overrides feature costs for its users."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

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
