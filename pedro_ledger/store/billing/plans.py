"""Which plan is meant: of an event, of a subscription, of the events of before.

A plan is known by its id; other keys name it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import structlog

from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.queries import SqlFiles

_SQL = SqlFiles("billing")
PLAN_NOT_FOUND = "plan_not_found"
PLAN_AMBIGUOUS = "plan_ambiguous"
PAGE_EVENTS = 100
"""Recorded in one transaction, which locks the accounts of their users: deducts of these wait for
it.
"""

log = structlog.get_logger(__name__)


class Obstacle(NamedTuple):
    """Why something waits: a stable code, and the same for people."""

    reason: str
    detail: str | None = None


class Plan(NamedTuple):
    """A row of the app's `Plan`."""

    id: str
    credits: int
    key: str
    """What shows it in `SubscriptionEvent.planKey`: its name where that names no other plan, else
    its id.
    """


class Recorded(NamedTuple):
    """Events whose plan was settled, and how many of them name two plans."""

    events: int
    ambiguous: int


async def find_plan(
    connection: Connection,
    provider: str,
    told: Sequence[str],
    told_before: Sequence[str],
    at: datetime | None,
    *,
    known_id: str | None,
) -> Plan | Obstacle:
    """The plan that goes by the best of the keys that were `told` at `at`, else of those
    `told_before`.

    `known_id` is the plan that the subscription was on: it goes on where a name names two plans and
    this is one of them, or names none (any more).
    """
    for keys in filter(None, (told, told_before)):
        plans = await _plans_named(connection, provider, keys, at)
        if len(plans) == 1:
            return plans[0]
        if plans:
            named = [plan for plan in plans if plan.id == known_id]
            ids = ", ".join(plan.id for plan in plans)
            return named[0] if named else Obstacle(
                PLAN_AMBIGUOUS, f"{', '.join(keys)} names the plans {ids}: rename one, or tell its id."
            )  # fmt: skip
    if known_id is not None and (plans := await _plans_named(connection, provider, [known_id], None)):
        return plans[0]
    return Obstacle(PLAN_NOT_FOUND, f"No plan goes by {', '.join((*told, *told_before)) or 'nothing'}.")


async def known_plan(connection: Connection, user_id: str, provider: str, subscription: str) -> str | None:
    """The id of the plan that a subscription brought credits of last."""
    return await connection.fetchval(_SQL["find_known_plan"], user_id, provider, subscription)  # type: ignore[no-any-return]


async def settle_event(
    connection: Connection, clerk_id: str, event_id: str, plan_id: str | None, reason: str | None = None
) -> None:
    """The plan of an event that was recorded without is known now, or why it is not has changed.

    Inside a transaction.
    """
    if await connection.fetchval(_SQL["settle_event_plan"], clerk_id, event_id, plan_id, reason):
        await connection.execute(_SQL["derive_plans"], [clerk_id])


class EventPlans:
    """Settles which plans recorded events mean, some at a time; safe beside other replicas that do
    the same.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record_some(self) -> Recorded | None:
        """Settle the plans of the next events of before, in one transaction.

        None where nothing is left, or another replica is at it; it goes on where it was
        interrupted. Raises `Unavailable`.
        """
        async with self._database.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(_SQL["record_plans"], PAGE_EVENTS)
            if row is None:
                return None
            await connection.execute(_SQL["derive_plans"], row["clerk_ids"])
        return Recorded(row["events"], row["ambiguous"])

    async def resolve(self) -> bool:
        """Plans have changed: settle anew what named none, or two, each event in a transaction of
        its own.

        Returns whether all were; one that fails (its user is locked) stops no other. Raises
        `Unavailable`.
        """
        is_whole, after = True, ("", "")
        while True:
            async with self._database.acquire() as connection:
                rows = await connection.fetch(_SQL["list_unsettled"], *after, PAGE_EVENTS)
            for row in rows:
                after = row["clerk_id"], row["event_id"]
                try:
                    async with self._database.acquire() as connection, connection.transaction():
                        await settle_event(connection, *row)
                except Unavailable as error:
                    is_whole = False
                    log.warning("event_plan_not_settled", event_id=row["event_id"], reason=error.facts.get("reason"))
            if len(rows) < PAGE_EVENTS:
                return is_whole


async def _plans_named(connection: Connection, provider: str, keys: Sequence[str], at: datetime | None) -> list[Plan]:
    return [Plan(*row) for row in await connection.fetch(_SQL["find_plan"], keys, provider, at)]
