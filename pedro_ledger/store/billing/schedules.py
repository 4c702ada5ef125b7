"""Schedules of recurring grants: what is set, and which periods were granted."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson

from pedro_ledger.ledger.errors import RecurringGrantNotFound, TooManyRecurringGrants
from pedro_ledger.ledger.open_items import Rollover
from pedro_ledger.ledger.periods import Periods
from pedro_ledger.ledger.schedules import Schedule
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.queries import SqlFiles

_SQL = SqlFiles("recurring")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SCHEDULES_MAX = 16


class ScheduleRow(NamedTuple):
    """A schedule, and how far it got."""

    schedule: Schedule
    next_ms: int
    """When the next period begins that is granted, in milliseconds since 1970."""
    missed: int
    """Periods that went by without their grant."""
    reason: str | None
    """Why the grant that is due was not made."""


class Claimed(NamedTuple):
    """Schedules whose next period has begun, and for how long the first of them waits, in
    seconds.
    """

    schedules: Sequence[Schedule]
    lag_s: float


class ScheduleStore:
    """The table `pedro_ledger.recurring_grant`. Every call raises `Unavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_running(self, user_id: str) -> list[ScheduleRow]:
        """A user's schedules by id."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_SQL["list_schedules"], user_id)
        return [_row(orjson.loads(row[0])) for row in rows]

    async def put(self, wanted: Schedule, anchor_ms: int | None, now_ms: int) -> ScheduleRow:
        """Make a schedule, or change the one of its id. Without an anchor it keeps the one that it
        has, else it begins now.

        Of periods that are counted anew, the first that is granted is the one that runs. Raises
        `TooManyRecurringGrants`.
        """
        async with self._database.writing(wanted.user_id) as connection, connection.transaction():
            text = await connection.fetchval(_SQL["lock_schedule"], wanted.user_id, wanted.id)
            known = None if text is None else orjson.loads(text)
            before = None if known is None else _row(known).schedule
            if anchor_ms is None:
                anchor_ms = now_ms if before is None else before.periods.anchor_ms
            periods = wanted.periods._replace(anchor_ms=anchor_ms)
            number = max(0, periods.number_at(now_ms))
            if before is not None and before.periods == periods and known is not None and known["ended_at"] is None:
                number = before.next_number
            row = await connection.fetchval(
                _SQL["put_schedule"], wanted.user_id, wanted.id, wanted.credits, wanted.source, wanted.priority,
                wanted.rollover and orjson.dumps(list(wanted.rollover)).decode(), _time(anchor_ms), periods.unit,
                periods.every, periods.time_zone, number, _time(periods.start_ms(number)), SCHEDULES_MAX,
            )  # fmt: skip
        if row is None:
            raise TooManyRecurringGrants(
                f"The user has {SCHEDULES_MAX} recurring grants: delete some of them.", recurringGrantsMax=SCHEDULES_MAX
            )
        return _row(orjson.loads(row))

    async def end(self, user_id: str, schedule_id: str) -> None:
        """Grant nothing more; the running period's credits stay. Raises
        `RecurringGrantNotFound`.
        """
        async with self._database.writing(user_id) as connection:
            ended = await connection.fetchval(_SQL["end_schedule"], user_id, schedule_id)
        if ended is None:
            raise RecurringGrantNotFound(
                f"The user has no recurring grant {schedule_id}.", recurringGrantId=schedule_id
            )

    async def claim(self, limit: int, now_ms: int) -> Claimed:
        """Schedules that are due, longest first, each put off in case its grant is not made now."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_SQL["claim_schedules"], limit, _time(now_ms))
        found = sorted(rows, key=lambda row: -row["lag_s"])
        return Claimed([_row(orjson.loads(row[0])).schedule for row in found], found[0]["lag_s"] if found else 0.0)

    async def find(self, schedule: Schedule, number: int) -> int | None:
        """The seq of a period's grant, where the ledger has it."""
        async with self._database.acquire() as connection:
            return await connection.fetchval(  # type: ignore[no-any-return]
                _SQL["find_grant"], schedule.user_id, schedule.key(number)
            )

    async def mark(self, schedule: Schedule, number: int, seq: int) -> int | None:
        """Note that a period has its grant.

        Returns how many periods before it were missed; None where that was noted before.
        """
        following = number + 1
        async with self._database.acquire() as connection:
            return await connection.fetchval(  # type: ignore[no-any-return]
                _SQL["mark_granted"], schedule.user_id, schedule.id, schedule.generation, number, seq, following,
                _time(schedule.periods.start_ms(following)),
            )  # fmt: skip

    async def note_trouble(self, schedule: Schedule, reason: str) -> None:
        """Note why a period brought no grant."""
        async with self._database.acquire() as connection:
            await connection.execute(_SQL["note_trouble"], schedule.user_id, schedule.id, reason)


def _row(row: Any) -> ScheduleRow:
    rule = None if row["rollover"] is None else Rollover(*orjson.loads(row["rollover"]))
    periods = Periods(_ms(row["anchor"]), row["unit"], row["every"], row["time_zone"])
    schedule = Schedule(
        row["user_id"], row["id"], row["generation"], row["credits"], row["source"], row["priority"], rule, periods,
        row["next_number"], row["granted_number"], row["granted_seq"],
    )  # fmt: skip
    return ScheduleRow(schedule, _ms(row["next_at"]), row["missed"], row["reason"])


def _ms(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)


def _time(at_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_ms)
