"""Query parameters, described once: these models parse requests, and OpenAPI shows them.

Names are the wire's, but for `from` and `to`, which are `since` and `until` here. Values come as
text; the reason for which a parameter refuses one reads on from its name ("limit must be …").
"""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from pedro_ledger.api.schemas.cursors import NumberedCursor, SeqCursor, TimedCursor
from pedro_ledger.api.schemas.refs import USER_REF_LENGTH_MAX, USER_REF_PATTERN

PAGE_ITEMS_MAX = 200
REPORT_ROWS_MAX = 10_000
_OF_EVERY_LIST = ("limit", "cursor")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TRUTH = {"true": True, "false": False}


class Whole(NamedTuple):
    """Marks a parameter that is a whole number from `low` to `high`, in decimal digits."""

    low: int
    high: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """The number, from its text."""
        return core_schema.no_info_before_validator_function(
            self._parse, core_schema.int_schema(ge=self.low, le=self.high)
        )

    def _parse(self, text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) <= 5 and self.low <= int(text) <= self.high:
            return int(text)
        raise _refused(f"must be a whole number from {self.low} to {self.high}")


def parse_time(text: object) -> datetime:
    """An RFC 3339 time with a zone, in UTC. Raises `PydanticCustomError`."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
        if moment is None or moment.tzinfo is None:
            raise ValueError
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _refused("must be an RFC 3339 time such as 2026-01-31T12:00:00Z") from None


def _parse_day(text: str) -> date:
    try:
        if _DAY.fullmatch(text) is None:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise _refused("must be a day of UTC such as 2026-01-31") from None


def _parse_truth(text: str) -> bool:
    if text not in _TRUTH:
        raise _refused("must be true or false")
    return _TRUTH[text]


def _parse_owner(text: str) -> str:
    if re.fullmatch(USER_REF_PATTERN, text) is None:
        raise _refused("must be the owner's id, or clerk: and the Clerk id")
    return text


def _refused(why: str) -> PydanticCustomError:
    return PydanticCustomError("query", "{why}", {"why": why})


Time = Annotated[datetime, BeforeValidator(parse_time)]
Day = Annotated[date, BeforeValidator(_parse_day)]
Truth = Annotated[bool, BeforeValidator(_parse_truth)]
Flag = Annotated[bool, BeforeValidator(lambda text: _parse_truth(text or "true"))]
"""`?name` alone means true."""
Owner = Annotated[
    str,
    BeforeValidator(_parse_owner),
    Field(
        min_length=1, max_length=USER_REF_LENGTH_MAX, description="The owner: `User.id`, or `clerk:` and the Clerk id."
    ),
]


class Query(BaseModel):
    """What every query has in common.

    Its fields are the parameters that the call takes; others are refused.
    """

    model_config = ConfigDict(frozen=True)

    @classmethod
    def names(cls) -> list[str]:
        """The parameters, as they are called on the wire; those of every list come last."""
        found = [field.alias or name for name, field in cls.model_fields.items()]
        return sorted(found, key=lambda name: name in _OF_EVERY_LIST)


class NoQuery(Query):
    """A call that takes no parameter."""


class PageQuery(Query):
    """A page of a list."""

    limit: Annotated[int, Whole(1, PAGE_ITEMS_MAX), Field(description="How many items at most.")] = 20


class TimedPageQuery(PageQuery):
    """A page of a list that is sorted by time and id."""

    cursor: TimedCursor | None = None


class BalanceQuery(Query):
    """A balance, as it is or was."""

    at: Annotated[Time | None, Field(description="A moment in the past; without it you get the balance as it is.")] = (
        None
    )


class SpanQuery(PageQuery):
    """What happened in a span of time, a page of it."""

    since: Annotated[Time | None, Field(alias="from", description="Only what happened at this moment or later.")] = None
    until: Annotated[Time | None, Field(alias="to", description="Only what happened before this moment.")] = None


class UsageQuery(SpanQuery):
    """Uses, newest first."""

    operationType: Annotated[str | None, Field(description="Only uses of this type.")] = None
    cursor: TimedCursor | None = None


class BalanceStreamQuery(Query):
    """A balance as it moves."""

    entries: Annotated[Truth, Field(description="Tell each entry, too.")] = False


class HoldsQuery(Query):
    """Open holds of a user."""

    reference: Annotated[
        str | None, Field(max_length=255, description="Only the open hold that has this reference.")
    ] = None


class StatementQuery(SpanQuery):
    """Entries, by seq."""

    order: Annotated[Literal["asc", "desc"], Field(description="`desc`: the newest first.")] = "asc"
    cursor: SeqCursor | None = None


class ForceQuery(Query):
    """What is done though it looks like a mistake."""

    force: Annotated[Flag, Field(description="Also set costs of what is no operation type.")] = False


class UsersQuery(TimedPageQuery):
    """Users, newest first."""

    isActive: Annotated[Truth | None, Field(description="Only those who are, or are not.")] = None
    email: Annotated[str | None, Field(description="Only the user with exactly this address.")] = None


class PlansQuery(PageQuery):
    """Plans by sortOrder."""

    active: Annotated[Literal["true", "false", "any"], Field(description="`true`: those on sale.")] = "true"
    cursor: NumberedCursor | None = None


class FeaturesQuery(TimedPageQuery):
    """Features, newest first."""

    workspaceId: Annotated[str | None, Field(description="Only those of this workspace.")] = None


class OwnerQuery(Query):
    """Whose thing it is; customers with a token of their own need not say."""

    user: Owner | None = None


class FilesQuery(TimedPageQuery, OwnerQuery):
    """A user's files, newest first."""


class PurgeableQuery(TimedPageQuery):
    """Deleted files, first deleted first."""

    deletedForDays: Annotated[int, Whole(0, 99_999), Field(description="Deleted more than so many days ago.")] = 30


class SubscriptionEventsQuery(TimedPageQuery):
    """Subscription events, newest first."""

    clerkUserId: Annotated[str | None, Field(description="Only those of this Clerk id.")] = None


class DeliveriesQuery(TimedPageQuery):
    """Webhook deliveries that could not be applied, newest first."""

    state: Annotated[Literal["waiting", "rejected"] | None, Field(description="Only those in this state.")] = None


class ReportQuery(Query):
    """A report; each takes some of these."""

    format: Literal["json", "csv", "ndjson"] = "json"
    since: Annotated[Day | None, Field(description="The first day, of UTC.")] = None
    until: Annotated[Day | None, Field(description="The day after the last one.")] = None
    operation: Annotated[str | None, Field(description="Only operations of this type.")] = None
    limit: Annotated[int, Whole(1, REPORT_ROWS_MAX)] | None = None


class ExportQuery(Query):
    """A table, whole or a span of time of it."""

    format: Literal["csv", "ndjson", "parquet"] = "csv"
    since: Annotated[Time | None, Field(alias="from", description="Only what happened at this moment or later.")] = None
    until: Annotated[Time | None, Field(alias="to", description="Only what happened before this moment.")] = None
    after: Annotated[
        str | None,
        Field(
            max_length=600,
            description="Only rows after this one: its `userId`, a colon, and its `seq` (of usage: its `id`).",
        ),
    ] = None
