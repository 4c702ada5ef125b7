"""Turns the app's history into monthly partitions in place, and keeps the next months ready.

The old table becomes the first partition as it is: no row is moved. What takes long (an index, a
check of every row) is done while everybody writes; the tables are then held for some milliseconds,
and let go where they cannot be had at once.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg
import structlog

from pedro_ledger.ledger.errors import OperatorError
from pedro_ledger.postgres.advisory_locks import Lock, try_lock
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.failures import unavailable
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.postgres.sessions import JOB, MIGRATION
from pedro_ledger.store.schema.migrations import lock_migrations
from pedro_ledger.store.schema.months import (
    REST,
    TABLE,
    Partition,
    first_bound,
    make_months,
    make_partition,
    missing_months,
    old_name,
)  # fmt: skip
from pedro_ledger.store.schema.standing import require_ledger

log = structlog.get_logger(__name__)
_SQL = SqlFiles("schema")
KEY_INDEX = f"{TABLE}_partition_key"
BOUND = f"{TABLE}_partition_bound"
LOCK_WAIT = "200ms"
"""How long to wait for the tables; writers wait behind us meanwhile."""
LONG_LOCK_WAIT = "1h"
"""How long what holds nobody up waits for the transactions that were there before it."""
HOLD = "800ms"
"""How long one statement may take while the tables are held."""
TRIES = 100
PAUSE_S = 0.3
"""Between two tries: writers are to have more time than we take from them."""
FURTHEST_BOUND_MONTHS = 13


class PartitionError(OperatorError):
    """The table cannot be partitioned; the message says why and what to do."""


class State(NamedTuple):
    """How the app's history lies."""

    is_partitioned: bool
    owner: str
    rows_about: int
    bytes: int
    newest: datetime | None
    at: datetime
    is_bounded: bool


class ConversionPlan(NamedTuple):
    """What is to be done: statements beside the writers, then statements in one short
    transaction.
    """

    state: State
    before: list[str]
    held: list[str]
    partitions: list[Partition]


async def make_plan(connection: Connection, label: str) -> ConversionPlan:
    """What `convert` would do to the database that `label` names.

    Raises `NotCurrent`, and `PartitionError` where it cannot be done.
    """
    await require_ledger(connection, label)
    state = await _read_state(connection)
    if state.is_partitioned:
        return ConversionPlan(state, [], await _missing(connection, state.at), await _list_partitions(connection))
    obstacle = await connection.fetchval(_SQL["find_partition_obstacle"], KEY_INDEX)
    if obstacle is not None:
        raise PartitionError(f'"{TABLE}" cannot be partitioned as it is: {obstacle}.')
    bound = first_bound(state.at, state.newest)
    if (bound.year - state.at.year) * 12 + bound.month - state.at.month > FURTHEST_BOUND_MONTHS:
        raise PartitionError(
            f'"{TABLE}" has a row of {state.newest}, and the first partition would reach until then: correct its time first.'
        )
    place = f'public."{TABLE}"'
    before = [
        f'DROP INDEX CONCURRENTLY IF EXISTS public."{KEY_INDEX}"',
        f'CREATE UNIQUE INDEX CONCURRENTLY "{KEY_INDEX}" ON {place} ("id", "timestamp")',
        f'ALTER TABLE {place} DROP CONSTRAINT IF EXISTS "{BOUND}", '
        f'ADD CONSTRAINT "{BOUND}" CHECK ("timestamp" < \'{bound:%Y-%m-%d}\') NOT VALID',
        f'ALTER TABLE {place} VALIDATE CONSTRAINT "{BOUND}"',
    ]
    turning = await connection.fetch(_SQL["list_turning_statements"], old_name(bound), KEY_INDEX, BOUND, bound)
    held = [row["text"] for row in turning] + make_partition(REST, None) + make_months(bound, state.at)
    return ConversionPlan(state, before, held, [])


async def convert(database: Database) -> tuple[ConversionPlan, float]:
    """Do what `make_plan` says.

    Returns it with the seconds for which the tables were held. Safe beside writers and other
    daemons.
    """
    with unavailable():
        connection = await database.session(timeouts=JOB)
    try:
        await lock_migrations(connection)
        plan = await make_plan(connection, database.url.label)
        if not plan.held:
            return plan, 0.0
        try:
            for statement in plan.before:
                await _beside_writers(connection, statement)
            return plan, await _while_held(connection, plan.held)
        except BaseException:
            await _clear(database, connection)
            raise
    except asyncpg.InsufficientPrivilegeError as error:
        raise PartitionError(
            f"The database role may not do this ({error}): set DIRECT_URL to the owner's URL."
        ) from error
    finally:
        await connection.close(timeout=1)


class PartitionKeeper:
    """Makes the next months of a table that is partitioned, and leaves any other alone; one daemon
    of several at a time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tick(self) -> None:
        """Look once."""
        await self.keep()

    async def keep(self) -> int:
        """Make what is missing. Returns how many statements that took."""
        with unavailable():
            connection = await self._database.connect(timeouts=MIGRATION)
        try:
            state = await _read_state(connection)
            if state.is_bounded and not state.is_partitioned:
                return await self._unbind(connection)
            if not state.is_partitioned:
                return 0
            statements = await _missing(connection, state.at)
            if statements:
                await _while_held(connection, statements, alone=True)
                log.info("partitions_made", statements=len(statements))
            return len(statements)
        except asyncpg.InsufficientPrivilegeError as error:
            raise PartitionError(
                f"The next partitions are not made ({error}): run pedro-ledger partition as the owner."
            ) from error
        finally:
            await connection.close(timeout=1)

    async def _unbind(self, connection: Connection) -> int:
        """A `partition` that was killed left its bound behind, which would refuse rows once its
        time has come.
        """
        async with connection.transaction():
            if not await try_lock(connection, Lock.MIGRATIONS):
                return 0  # it is still at work
            await connection.execute("SELECT set_config('lock_timeout', $1, true)", LOCK_WAIT)
            await connection.execute(f'ALTER TABLE public."{TABLE}" DROP CONSTRAINT IF EXISTS "{BOUND}"')
        log.warning("left_over_bound_removed", table=TABLE)
        return 1


async def _read_state(connection: Connection) -> State:
    row = await connection.fetchrow(_SQL["read_state"], BOUND)
    assert row is not None, "the app's table is there when the ledger is"
    return State(**dict(row))


async def _list_partitions(connection: Connection) -> list[Partition]:
    return [Partition(**dict(row)) for row in await connection.fetch(_SQL["list_partitions"])]


async def _missing(connection: Connection, at: datetime) -> list[str]:
    partitions = await _list_partitions(connection)
    if not any(each.is_default and each.name == REST for each in partitions) or len(partitions) < 2:
        raise PartitionError(f'"{TABLE}" is partitioned otherwise than by pedro-ledger: make its next months yourself.')
    ends = max(each.ends for each in partitions if each.ends is not None)
    newest = await connection.fetchval(_SQL["read_newest_since"], ends)
    return missing_months(partitions, newest, at)


async def _beside_writers(connection: Connection, statement: str) -> None:
    """One statement that holds nobody up for long.

    Raises `PartitionError` where a transaction never lets it.
    """
    is_patient = "CONCURRENTLY" in statement or "VALIDATE CONSTRAINT" in statement
    await connection.execute(
        "SELECT set_config('lock_timeout', $1, false)", LONG_LOCK_WAIT if is_patient else LOCK_WAIT
    )
    for _ in range(1 if is_patient else TRIES):
        try:
            await connection.execute(statement)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(PAUSE_S)
        else:
            return
    await _tell_blockers(connection)


async def _while_held(connection: Connection, statements: Sequence[str], *, alone: bool = False) -> float:
    """All statements in one transaction before which every writer waits; with `alone`, only where
    no migrator is at work.

    Returns the seconds for which they waited. Raises `PartitionError` where the tables are not to
    be had.
    """
    loop = asyncio.get_running_loop()
    for _ in range(TRIES):
        try:
            async with connection.transaction():
                if alone and not await try_lock(connection, Lock.MIGRATIONS):
                    return 0.0
                await connection.execute(
                    "SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)",
                    LOCK_WAIT,
                    HOLD,
                )
                started = loop.time()
                await connection.execute(_SQL["wait_for_writers"])
                await connection.execute(";\n".join(statements))
            return loop.time() - started
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(PAUSE_S)
        except asyncpg.QueryCanceledError:
            raise PartitionError(
                f"It would have stopped writes for more than {HOLD}, so it was undone. Try at a quieter time."
            ) from None
    return await _tell_blockers(connection)


async def _tell_blockers(connection: Connection) -> float:
    rows = await connection.fetch(_SQL["list_blockers"])
    found = ", ".join(f"{row['program']} (pid {row['pid']}, since {row['seconds']} s)" for row in rows)
    raise PartitionError(
        f"The tables were never free for long enough{': ' + found if found else ''}. Nothing was changed: try again later."
    )


async def _clear(database: Database, connection: Connection) -> None:
    """Remove what an attempt that failed left: its bound would refuse rows once its time has
    come.
    """
    fresh = await database.session(timeouts=JOB) if connection.is_closed() else connection
    try:
        await fresh.execute("SELECT set_config('lock_timeout', '5s', false)")
        if not (await _read_state(fresh)).is_partitioned:
            await fresh.execute(f'ALTER TABLE public."{TABLE}" DROP CONSTRAINT IF EXISTS "{BOUND}"')
            await fresh.execute(f'DROP INDEX CONCURRENTLY IF EXISTS public."{KEY_INDEX}"')
    except (asyncpg.PostgresError, OSError) as error:
        log.warning(
            "attempt_not_cleared", table=TABLE, constraint=BOUND, reason=str(error), cure="pedro-ledger partition again"
        )
    finally:
        if fresh is not connection:
            await fresh.close(timeout=1)
