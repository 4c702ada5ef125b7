"""What single values of answers are, described once."""

from typing import Annotated, Any, TypeVar

from pydantic import Field

from pedro_ledger.ledger.account import CREDITS_MAX

Item = TypeVar("Item")

Time = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        json_schema_extra={"format": "date-time"},
        description="RFC 3339 in UTC, with milliseconds.",
    ),
]
Credits = Annotated[int, Field(ge=0, le=CREDITS_MAX, description="Whole credits.")]
SignedCredits = Annotated[int, Field(ge=-CREDITS_MAX, le=CREDITS_MAX, description="Whole credits; may be negative.")]
Seq = Annotated[int, Field(ge=0, description="The entry's number in its user's ledger: 1, 2, 3 … without gaps.")]
Count = Annotated[int, Field(ge=0)]
SignedCount = Annotated[int, Field(description="Whole credits of many operations.")]
Status = Annotated[int, Field(ge=200, le=599, description="The HTTP status that the call alone would have had.")]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 in hexadecimal.")]
Fingerprint = Annotated[str, Field(pattern="^[0-9a-f]+$", description="Of what was asked, in hexadecimal.")]
Json = Annotated[Any, Field(description="Free JSON.")]
