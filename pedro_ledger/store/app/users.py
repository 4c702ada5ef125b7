"""The app's users: made with their signup grant, brought up to date, listed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
import orjson

from pedro_ledger.ledger.errors import Conflict
from pedro_ledger.ledger.operations import SIGNUP_KEY, Grant, Operation
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.ids import new_id
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.store.journal.accounts import CLERK_PREFIX
from pedro_ledger.store.journal.adoption import Balance, open_accounts
from pedro_ledger.store.journal.rows import Row

_SQL = SqlFiles("app")

UNSET: Any = object()
"""What was not sent, as opposed to null."""


class UserRow(NamedTuple):
    """A user with its balance and newest usage, as the app reads them together."""

    id: str
    clerk_id: str
    email: str | None
    name: str | None
    is_active: bool
    created_at: datetime
    updated_at: datetime
    balance: Row | None
    usage: list[Row]


class UserStore:
    """Reads and writes `User`; a new user's balance and signup grant come in the same
    transaction.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def upsert(
        self, clerk_id: str, email: str | None, name: str | None, *, signup_credits: int, actor: str
    ) -> tuple[str, bool]:
        """Make or update the user of a Clerk id. Returns its id, and whether it was made.

        Raises `Conflict` where the email is taken, and `Busy`.
        """
        try:
            async with self._database.writing(clerk_id) as connection, connection.transaction():
                return await make_or_update(
                    connection, clerk_id, email, name, signup_credits=signup_credits, actor=actor
                )
        except asyncpg.UniqueViolationError as error:
            raise taken(error) from error

    async def change(self, user_id: str, *, email: Any, name: Any, is_active: Any) -> bool:
        """Change what is not `UNSET`.

        False where there is no such user. Raises `Conflict` where the email is taken, and `Busy`.
        """
        arguments: list[Any] = []
        for value in (email, name, is_active):
            arguments += [value is not UNSET, None if value is UNSET else value]
        try:
            async with self._database.writing(user_id) as connection:
                return await connection.fetchval(_SQL["change_user"], user_id, *arguments) is not None
        except asyncpg.UniqueViolationError as error:
            raise taken(error) from error

    async def find(self, ref: str) -> str | None:
        """The id of the user that `ref` names."""
        clerk_id = ref.removeprefix(CLERK_PREFIX) if ref.startswith(CLERK_PREFIX) else None
        async with self._database.acquire() as connection:
            return await connection.fetchval(  # type: ignore[no-any-return]
                _SQL["find_user"], ref if clerk_id is None else None, clerk_id
            )

    async def ids_of(self, clerk_ids: Sequence[str]) -> dict[str, str]:
        """The ids of the users who have these Clerk ids, by Clerk id. Raises `Unavailable`."""
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_SQL["find_users"], clerk_ids)
        return {row["clerk_id"]: row["id"] for row in rows}

    async def read(self, user_id: str) -> UserRow | None:
        """One user."""
        rows = await self._list([user_id], None, None, None, 1)
        return rows[0] if rows else None

    async def list_page(
        self, *, is_active: bool | None, email: str | None, before: tuple[datetime, str] | None, limit: int
    ) -> list[UserRow]:
        """A page of users, newest first; `before` is the last user of the page before. Times
        without zone, UTC.
        """
        return await self._list(None, is_active, email, before, limit)

    async def _list(
        self,
        ids: Sequence[str] | None,
        is_active: bool | None,
        email: str | None,
        before: tuple[datetime, str] | None,
        limit: int,
    ) -> list[UserRow]:
        at, last_id = before or (None, None)
        async with self._database.acquire() as connection:
            rows = await connection.fetch(_SQL["list_users"], ids, is_active, email, at, last_id, limit)
        return [
            UserRow(
                row["id"],
                row["clerkId"],
                row["email"],
                row["name"],
                row["isActive"],
                row["createdAt"],
                row["updatedAt"],
                orjson.loads(row["balance"]) if row["balance"] else None,
                orjson.loads(row["usage"]) if row["usage"] else [],
            )
            for row in rows
        ]


async def make_or_update(
    connection: Connection, clerk_id: str, email: str | None, name: str | None, *, signup_credits: int, actor: str
) -> tuple[str, bool]:
    """Make the user of a Clerk id with balance and signup grant, or change what is not `UNSET`.
    Inside a transaction.

    Returns the user's id, and whether it was made. Raises `UniqueViolationError` where the email is
    taken.
    """
    user_id = new_id()
    found = await connection.fetchval(
        _SQL["upsert_user"],
        user_id,
        clerk_id,
        None if email is UNSET else email,
        None if name is UNSET else name,
        email is not UNSET,
        name is not UNSET,
    )
    if found == user_id:
        await _give_balance(connection, user_id, clerk_id, signup_credits, actor)
    return found, found == user_id


async def _give_balance(connection: Connection, user_id: str, clerk_id: str, signup_credits: int, actor: str) -> None:
    def signup(_: Balance) -> Operation | None:
        return Grant(SIGNUP_KEY, actor, signup_credits, "signup") if signup_credits else None

    await connection.execute(_SQL["make_balance"], new_id(), user_id, clerk_id)
    await open_accounts(connection, [user_id], signup)


def taken(error: asyncpg.UniqueViolationError) -> Conflict:
    """The conflict that a unique key of `User` reports."""
    field = "email" if "email" in (error.constraint_name or "") else "clerkId"
    return Conflict(f"Another user has this {field}.", code=f"{field.lower()}_taken", field=field)
