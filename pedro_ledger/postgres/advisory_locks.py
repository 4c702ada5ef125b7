"""PostgreSQL's advisory locks, all in one place: who holds which, and for how long."""

from enum import IntEnum

from pedro_ledger.postgres.database import Connection


class Lock(IntEnum):
    """What one session or transaction of all replicas does at a time.

    The numbers are the locks' keys in the database.
    """

    MIGRATIONS = 0x5045_4452_4F
    ROLLUPS = 0x5045_4452_4F02
    SEED = 0x5045_4452_4F03
    CHECKPOINTS = 0x5045_4452_4F05
    DUE = 0x5045_4452_4F06


async def try_lock(connection: Connection, lock: Lock) -> bool:
    """Take a lock until the transaction ends, without waiting. Returns whether it was to be had."""
    return await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", lock)  # type: ignore[no-any-return]


async def try_session_lock(connection: Connection, lock: Lock) -> bool:
    """Take a lock until the session ends, without waiting. Returns whether it was to be had."""
    return await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock)  # type: ignore[no-any-return]


async def session_lock(connection: Connection, lock: Lock, *, wait: str) -> None:
    """Take a lock until the session ends.

    Raises `LockNotAvailableError` after `wait` (as `lock_timeout` has it).
    """
    async with connection.transaction():
        await connection.execute("SELECT set_config('lock_timeout', $1, true)", wait)
        await connection.execute("SELECT pg_advisory_lock($1)", lock)
