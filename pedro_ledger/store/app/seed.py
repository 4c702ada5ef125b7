"""Bringing plans and prices to what a file says: what would change, and changing it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from pedro_ledger.postgres.advisory_locks import Lock, session_lock
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.failures import unavailable
from pedro_ledger.postgres.sessions import JOB
from pedro_ledger.store.app.admin_settings import AdminSettingsStore
from pedro_ledger.store.app.plans import PlanStore
from pedro_ledger.store.journal.rows import Row

LOCK_WAIT = "60s"
"""How long to wait for another process that seeds."""
KEYS = ("clerkId", "asaasId", "name")
"""What a plan is found again by: the first of these that is given."""


class PlanStep(NamedTuple):
    """What becomes of one plan."""

    name: str
    plan_id: str | None
    """None for one that is made."""
    fields: Row
    """Columns that are set; none for one that stays."""
    overwritten: Row
    """What these columns held."""


class Steps(NamedTuple):
    """What seeding does."""

    plans: list[PlanStep]
    costs: dict[str, int]
    """Feature costs that are set, in credits."""
    costs_overwritten: dict[str, int]
    """What those that there were cost, in credits."""


@asynccontextmanager
async def seed_lock(database: Database) -> AsyncIterator[None]:
    """Nobody else seeds meanwhile. Raises `Unavailable` and `PoolerError`."""
    with unavailable():
        connection = await database.session(timeouts=JOB)
    try:
        with unavailable():
            await session_lock(connection, Lock.SEED, wait=LOCK_WAIT)
        yield
    finally:
        await connection.close()


async def plan_steps(database: Database, plans: Sequence[Row], costs: Mapping[str, int]) -> Steps:
    """What it takes to bring the database to `plans` and `costs`.

    Columns and prices that they do not name stay.
    """
    there: list[Row] = []
    place: tuple[int, str] | None = None
    while rows := await PlanStore(database).list_page(None, place, 200):
        there += rows
        place = (rows[-1]["sortOrder"], rows[-1]["id"])
    steps = [_step(plan, there) for plan in plans]
    known = await AdminSettingsStore(database).costs()
    changed = {name: cost for name, cost in costs.items() if known.get(name) != cost}
    return Steps(steps, changed, {name: known[name] for name in changed if name in known})


async def take_steps(database: Database, steps: Steps) -> None:
    """Do what `plan_steps` found.

    Raises `Conflict` where a plan's Clerk or Asaas id is another's.
    """
    store = PlanStore(database)
    for step in steps.plans:
        if step.plan_id is None:
            await store.make(step.fields)
        elif step.fields:
            await store.change(step.plan_id, step.fields)
    if steps.costs:
        await AdminSettingsStore(database).merge_costs(steps.costs)


def _step(plan: Row, there: Sequence[Row]) -> PlanStep:
    key = next(name for name in KEYS if plan.get(name) is not None)
    row = next((row for row in there if row[key] == plan[key]), None)
    if row is None:
        return PlanStep(plan["name"], None, plan, {})
    changed: dict[str, Any] = {name: value for name, value in plan.items() if row[name] != value}
    return PlanStep(plan["name"], row["id"], changed, {name: row[name] for name in changed})
