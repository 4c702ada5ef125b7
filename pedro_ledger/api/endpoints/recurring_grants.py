"""Recurring grants: a user's credits of every month, or of so many days."""

import re
from datetime import datetime
from functools import cache
from time import time_ns
from zoneinfo import available_timezones

from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.reading import parse, query, read_json, user_ref
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response, json_response, rollover_json
from pedro_ledger.api.schemas import answers
from pedro_ledger.api.schemas.queries import NoQuery
from pedro_ledger.api.schemas.requests import PeriodRolloverBody, RecurringGrantBody
from pedro_ledger.billing.recurring import RecurringGrants
from pedro_ledger.ledger.errors import UserNotFound
from pedro_ledger.ledger.open_items import Rollover
from pedro_ledger.ledger.periods import Periods
from pedro_ledger.ledger.schedules import Schedule
from pedro_ledger.ledger.times import moment_text
from pedro_ledger.store.app.users import UserStore
from pedro_ledger.store.billing.schedules import ScheduleRow, ScheduleStore

_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
MONTHS_MAX = 60


async def list_running(
    request: Request, users: UserStore, schedules: ScheduleStore
) -> Response[answers.RecurringGrants]:
    """A user's recurring grants, by id."""
    query(request, NoQuery)
    rows = await schedules.list_running(await _user(request, users))
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
    schedule_id = request.path_values["schedule"]
    if _ID.fullmatch(schedule_id) is None:
        raise _unclear("recurringGrantId", "An id is 1 to 64 letters, digits, dots, dashes and underscores.")
    if body.timeZone not in _zones():
        raise _unclear("timeZone", "timeZone must be an IANA time zone such as America/Sao_Paulo.")
    if body.unit == "month" and body.every > MONTHS_MAX:
        raise _unclear("every", f"A period has at most {MONTHS_MAX} months.")
    wanted = Schedule(
        await _user(request, users), schedule_id, 0, body.credits, body.source, body.priority, _rule(body.rollover),
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
    await schedules.end(await _user(request, users), schedule_id.replace("\0", ""))
    found: answers.Deleted = {"deleted": schedule_id}
    return json_response(found)


async def _user(request: Request, users: UserStore) -> str:
    ref = user_ref(request)
    user_id = await users.find(ref)
    if user_id is None:
        raise UserNotFound(f"There is no user {ref}.", user=ref)
    return user_id


def _rule(body: PeriodRolloverBody | None) -> Rollover | None:
    if body is None:
        return None
    expires_in = body.expiresIn
    return Rollover(body.percent, body.cap, body.times, None if expires_in == "nextPeriod" else expires_in * 1000)


def _anchor_ms(text: str) -> int:
    try:
        at_ms = round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise _unclear("anchor", "anchor must be an RFC 3339 time such as 2026-01-31T12:00:00Z.") from None
    if not _EARLIEST_MS <= at_ms < _LATEST_MS:
        raise _unclear("anchor", "anchor must be in the years 1970 to 2099.")
    return at_ms


_EARLIEST_MS, _LATEST_MS = 0, 4_102_444_800_000


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() | {"UTC"})


def _unclear(field: str, detail: str) -> Problem:
    return Problem(422, "invalid_body", "The body is not acceptable", detail, field=field)


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
