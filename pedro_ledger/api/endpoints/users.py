"""The app's users."""

from datetime import datetime
from typing import Any

from aiohttp import web

from pedro_ledger.api.context import Context
from pedro_ledger.api.http.paging import cursor_of, place_of
from pedro_ledger.api.http.reading import parse, query, query_bool, query_limit, user_ref
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import json_response, page
from pedro_ledger.api.schemas.requests import UserBody, UserChange
from pedro_ledger.ledger.errors import UserNotFound
from pedro_ledger.ledger.times import time_text
from pedro_ledger.store.app.users import UNSET, UserRow


async def upsert(request: Request, context: Context) -> web.Response:
    """Make a user with the signup grant, or bring one up to date."""
    body = parse(UserBody, await context.json(request))
    sent = body.model_fields_set
    user_id, is_new = await context.users.upsert(
        body.clerkId,
        body.email if "email" in sent else UNSET,
        body.name if "name" in sent else UNSET,
        signup_credits=context.signup_credits,
        actor=request.caller.key_id,
    )
    return await _answer(context, user_id, 201 if is_new else 200)


async def read(request: Request, context: Context) -> web.Response:
    """One user with balance and newest usage."""
    return await _answer(context, await context.user_id(user_ref(request)), 200)


async def change(request: Request, context: Context) -> web.Response:
    """Change a user's email, name or whether it is active."""
    body = parse(UserChange, await context.json(request))
    user_id = await context.user_id(user_ref(request))
    sent = body.model_fields_set
    await context.users.change(
        user_id,
        email=body.email if "email" in sent else UNSET,
        name=body.name if "name" in sent else UNSET,
        is_active=body.isActive if "isActive" in sent else UNSET,
    )
    return await _answer(context, user_id, 200)


async def list_page(request: Request, context: Context) -> web.Response:
    """Users, newest first."""
    given = query(request, "isActive", "email", "limit", "cursor")
    limit = query_limit(given)
    rows = await context.users.list_page(
        is_active=query_bool(given, "isActive"),
        email=given.get("email"),
        before=place_of(given),
        limit=limit + 1,
    )
    more = cursor_of(rows[limit - 1].created_at, rows[limit - 1].id) if len(rows) > limit else None
    return page([user_json(row) for row in rows[:limit]], more)


async def _answer(context: Context, user_id: str, status: int) -> web.Response:
    row = await context.users.read(user_id)
    if row is None:
        raise UserNotFound(f"There is no user {user_id}.")
    return json_response(user_json(row), status)


def user_json(row: UserRow) -> dict[str, Any]:
    """A user in the shape in which the app reads it."""
    return {
        "id": row.id,
        "clerkId": row.clerk_id,
        "email": row.email,
        "name": row.name,
        "isActive": row.is_active,
        "createdAt": time_text(row.created_at),
        "updatedAt": time_text(row.updated_at),
        "creditBalance": _with_times(row.balance, "lastSyncedAt", "createdAt", "updatedAt"),
        "usageHistory": [_with_times(usage, "timestamp") for usage in row.usage],
    }


def _with_times(row: dict[str, Any] | None, *names: str) -> dict[str, Any] | None:
    if row is None:
        return None
    return {name: time_text(datetime.fromisoformat(value)) if name in names else value for name, value in row.items()}
