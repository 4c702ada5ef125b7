"""Checkpoints in the database: reading all accounts in one snapshot, keeping the sealed ones,
comparing with them.
"""

import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg
import orjson

from pedro_ledger.ledger.evidence.audit import Finding
from pedro_ledger.ledger.evidence.checkpoints import PAGE_LEAVES, Checkpoint, Leaf, checkpoint_of, parse_leaves
from pedro_ledger.ledger.evidence.merkle import RootBuilder, leaf_hash, root_of
from pedro_ledger.ledger.evidence.strict_json import EvidenceError
from pedro_ledger.postgres.advisory_locks import Lock, try_session_lock
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.failures import CONNECTION_FAILURES, unavailable
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.postgres.sessions import JOB

_SQL = SqlFiles("proofs")
BATCH_PAGES = 8


class Tree(NamedTuple):
    """What a walk over all accounts made."""

    accounts: int
    entries: int
    root: bytes


class SealingSession:
    """A transaction that sees the ledger as of one moment, and may write a checkpoint of it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def now(self) -> datetime:
        """When the snapshot was taken, to within a moment."""
        at: datetime = await self.connection.fetchval("SELECT now()")
        return at.astimezone(UTC)

    async def lines(self, first: int) -> list[str]:
        """The lines of checkpoints from number `first` on, oldest first."""
        return await list_lines(self.connection, first)

    async def write_pages(self, number: int) -> Tree:
        """Walk over all accounts and keep them as the sealed accounts of checkpoint `number`."""
        pages, entries, accounts = RootBuilder(), 0, 0
        cursor = await self.connection.cursor(_SQL["list_accounts"])
        while rows := await cursor.fetch(PAGE_LEAVES):
            leaves = [Leaf(*row) for row in rows]
            encoded = [leaf.encode() for leaf in leaves]
            root = root_of([leaf_hash(each) for each in encoded])
            packed = zlib.compress(b"\0".join(encoded), 1)
            await self.connection.execute(_SQL["insert_page"], number, pages.count, leaves[0].user_id, root, packed)
            pages.add(root)
            accounts += len(leaves)
            entries += sum(leaf.seq for leaf in leaves)
        return Tree(accounts, entries, pages.root())

    async def add(self, checkpoint: Checkpoint, trees_kept: int) -> None:
        """Keep a checkpoint, and forget the sealed accounts of older ones."""
        await self.connection.execute(_SQL["insert_checkpoint"], checkpoint.number, checkpoint.line)
        await self.connection.execute(_SQL["purge_pages"], trees_kept)


@asynccontextmanager
async def sealing_session(database: Database) -> AsyncIterator[SealingSession | None]:
    """The right to seal, committed at the end of the block; None while another has it. Raises
    `Unavailable` and `PoolerError`.
    """
    with unavailable():
        connection = await database.session({"enable_seqscan": "on"}, JOB)
        try:
            if not await try_session_lock(connection, Lock.CHECKPOINTS):
                yield None
                return
            async with connection.transaction(isolation="repeatable_read"):
                yield SealingSession(connection)
            with suppress(asyncpg.PostgresError, *CONNECTION_FAILURES):
                await connection.close(timeout=1)  # ends after the server released the lock: the next one can have it
        finally:
            connection.terminate()


async def list_lines(connection: Connection, first: int = 1) -> list[str]:
    """The lines of checkpoints from number `first` on, oldest first."""
    return [row["line"] for row in await connection.fetch(_SQL["list_lines"], first)]


async def sealed_checkpoints(connection: Connection) -> list[Checkpoint]:
    """The checkpoints whose sealed accounts are kept, oldest first.

    Raises `EvidenceError` for a damaged line.
    """
    return [checkpoint_of(orjson.loads(row["line"])) for row in await connection.fetch(_SQL["list_sealed"])]


async def find_departure(connection: Connection, checkpoint: Checkpoint) -> Finding | None:
    """The first account whose ledger does not pass through what a checkpoint sealed. In the
    caller's transaction.

    Raises `EvidenceError` where the sealed accounts that the database keeps are not those that were
    signed.
    """
    pages, accounts = RootBuilder(), 0
    cursor = await connection.cursor(_SQL["list_pages"], checkpoint.number)
    found: Finding | None = None
    while rows := await cursor.fetch(BATCH_PAGES):
        sealed: list[Leaf] = []
        for row in rows:
            leaves = unpack(row["leaves"])
            pages.add(root_of([leaf_hash(leaf.encode()) for leaf in leaves]))
            accounts += len(leaves)
            sealed += [leaf for leaf in leaves if leaf.seq]
        if found is None and sealed:
            columns = [list(column) for column in zip(*sealed, strict=True)]
            bad = await connection.fetchrow(_SQL["find_departure"], *columns)
            if bad is not None:
                what = f"the ledger does not pass through what checkpoint {checkpoint.number} sealed"
                found = Finding(bad["user_id"], bad["seq"], what)
    if (accounts, pages.root()) != (checkpoint.accounts, checkpoint.root):
        raise EvidenceError(
            f"the sealed accounts that the database keeps do not make the root of checkpoint {checkpoint.number}"
        )
    return found


def unpack(page: bytes) -> list[Leaf]:
    """The leaves of a kept page. Raises `EvidenceError`."""
    try:
        return list(parse_leaves(zlib.decompress(page)))
    except zlib.error:
        raise EvidenceError("a page of sealed accounts is damaged") from None
