"""The app's users."""

from pedro_ledger.api.http.paging import keyset_page
from pedro_ledger.api.http.reading import parse, query, read_json, user_ref
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response, json_response, page
from pedro_ledger.api.http.rows import row_json
from pedro_ledger.api.ownership import id_of
from pedro_ledger.api.schemas.answers import Page
from pedro_ledger.api.schemas.app_answers import CreditBalance, Usage, User
from pedro_ledger.api.schemas.queries import UsersQuery
from pedro_ledger.api.schemas.requests import UserBody, UserChange
from pedro_ledger.ledger.errors import UserNotFound
from pedro_ledger.ledger.times import time_text
from pedro_ledger.store.app.users import UNSET, UserRow, UserStore


async def upsert(request: Request, users: UserStore, signup_credits: int) -> Response[User]:
    """Make a user with the signup grant, or bring one up to date."""
    body = parse(UserBody, await read_json(request))
    sent = body.model_fields_set
    user_id, is_new = await users.upsert(
        body.clerkId,
        body.email if "email" in sent else UNSET,
        body.name if "name" in sent else UNSET,
        signup_credits=signup_credits,
        actor=request.caller.key_id,
    )
    return await _answer(users, user_id, 201 if is_new else 200)


async def read(request: Request, users: UserStore) -> Response[User]:
    """One user with balance and newest usage."""
    return await _answer(users, await id_of(users, user_ref(request)), 200)


async def change(request: Request, users: UserStore) -> Response[User]:
    """Change a user's email, name or whether it is active."""
    body = parse(UserChange, await read_json(request))
    user_id = await id_of(users, user_ref(request))
    sent = body.model_fields_set
    await users.change(
        user_id,
        email=body.email if "email" in sent else UNSET,
        name=body.name if "name" in sent else UNSET,
        is_active=body.isActive if "isActive" in sent else UNSET,
    )
    return await _answer(users, user_id, 200)


async def list_page(request: Request, users: UserStore) -> Response[Page[User]]:
    """Users, newest first."""
    given = query(request, UsersQuery)
    rows = await users.list_page(
        is_active=given.isActive,
        email=given.email,
        before=given.cursor,
        limit=given.limit + 1,
    )
    shown, next_cursor = keyset_page(rows, given.limit, lambda row: (row.created_at, row.id))
    return page([user_json(row) for row in shown], next_cursor)


async def _answer(users: UserStore, user_id: str, status: int) -> Response[User]:
    row = await users.read(user_id)
    if row is None:
        raise UserNotFound(f"There is no user {user_id}.")
    return json_response(user_json(row), status)


def user_json(row: UserRow) -> User:
    """A user in the shape in which the app reads it."""
    return {
        "id": row.id,
        "clerkId": row.clerk_id,
        "email": row.email,
        "name": row.name,
        "isActive": row.is_active,
        "createdAt": time_text(row.created_at),
        "updatedAt": time_text(row.updated_at),
        "creditBalance": row_json(CreditBalance, row.balance) if row.balance is not None else None,
        "usageHistory": [row_json(Usage, usage) for usage in row.usage],
    }
