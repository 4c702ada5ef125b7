"""Recurring grants: a user's credits of every month, or of so many days."""

from time import time_ns

from pedro_ledger.api.http.reading import (
    chosen_id,
    moment_ms,
    parse,
    query,
    read_json,
    require_time_zone,
    unacceptable,
    user_ref,
)
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response, json_response, rollover_json
from pedro_ledger.api.ownership import id_of
from pedro_ledger.api.schemas import answers
from pedro_ledger.api.schemas.queries import NoQuery
from pedro_ledger.api.schemas.requests import PeriodRolloverBody, RecurringGrantBody
from pedro_ledger.billing.recurring import RecurringGrants
from pedro_ledger.ledger.open_items import Rollover
from pedro_ledger.ledger.periods import Periods
from pedro_ledger.ledger.schedules import Schedule
from pedro_ledger.ledger.times import moment_text
from pedro_ledger.store.app.users import UserStore
from pedro_ledger.store.billing.schedules import ScheduleRow, ScheduleStore

MONTHS_MAX = 60


async def list_running(
    request: Request, users: UserStore, schedules: ScheduleStore
) -> Response[answers.RecurringGrants]:
    """A user's recurring grants, by id."""
    query(request, NoQuery)
    rows = await schedules.list_running(await id_of(users, user_ref(request)))
    found: answers.RecurringGrants = {"items": [_schedule_json(row) for row in rows]}
    return json_response(found)


async def put(
    request: Request, users: UserStore, schedules: ScheduleStore, recurring: RecurringGrants
) -> Response[answers.RecurringGrant]:
    """Set a recurring grant, or change the one that has this id.

    The credits of the running period come at once. What is changed counts from the next period on;
    another anchor, unit, length or time zone starts anew, and credits of the period that runs stay.
    """
    body = parse(RecurringGrantBody, await read_json(request))
    schedule_id = chosen_id(request, "schedule", "recurringGrantId")
    require_time_zone(body.timeZone)
    if body.unit == "month" and body.every > MONTHS_MAX:
        raise unacceptable("every", f"A period has at most {MONTHS_MAX} months.")
    wanted = Schedule(
        await id_of(users, user_ref(request)), schedule_id, 0, body.credits, body.source, body.priority, _rule(body.rollover),
        Periods(0, body.unit, body.every, body.timeZone), 0,
    )  # fmt: skip
    anchor_ms = None if body.anchor is None else _anchor_ms(body.anchor)
    row = await schedules.put(wanted, anchor_ms, time_ns() // 1_000_000)
    await recurring.settle(row.schedule)
    rows = await schedules.list_running(wanted.user_id)
    return json_response(_schedule_json(next((each for each in rows if each.schedule.id == schedule_id), row)))


async def delete(request: Request, users: UserStore, schedules: ScheduleStore) -> Response[answers.Deleted]:
    """Grant nothing more; credits of the period that runs stay until it ends."""
    query(request, NoQuery)
    schedule_id = request.path_values["schedule"]
    await schedules.end(await id_of(users, user_ref(request)), schedule_id.replace("\0", ""))
    found: answers.Deleted = {"deleted": schedule_id}
    return json_response(found)


def _rule(body: PeriodRolloverBody | None) -> Rollover | None:
    if body is None:
        return None
    expires_in = body.expiresIn
    return Rollover(body.percent, body.cap, body.times, None if expires_in == "nextPeriod" else expires_in * 1000)


def _anchor_ms(text: str) -> int:
    at_ms = moment_ms("anchor", text)
    if not _EARLIEST_MS <= at_ms < _LATEST_MS:
        raise unacceptable("anchor", "anchor must be in the years 1970 to 2099.")
    return at_ms


_EARLIEST_MS, _LATEST_MS = 0, 4_102_444_800_000


def _schedule_json(row: ScheduleRow) -> answers.RecurringGrant:
    schedule = row.schedule
    return {
        "recurringGrantId": schedule.id,
        "credits": schedule.credits,
        "source": schedule.source,
        "priority": schedule.priority,
        "rollover": None if schedule.rollover is None else rollover_json(schedule.rollover),
        "anchor": moment_text(schedule.periods.anchor_ms),
        "unit": schedule.periods.unit,
        "every": schedule.periods.every,
        "timeZone": schedule.periods.time_zone,
        "nextAt": moment_text(row.next_ms),
        "periodsMissed": row.missed,
        "reason": row.reason,
    }
