"""Reading what proofs are made of: an entry, those after it, and the account as a checkpoint sealed
it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import NamedTuple

import orjson

from pedro_ledger.ledger.chain import canonical_form
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.evidence.checkpoints import Checkpoint, Leaf
from pedro_ledger.ledger.evidence.merkle import leaf_hash
from pedro_ledger.ledger.ids import parse_entry_id
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.store.journal.rows import entry_of
from pedro_ledger.store.proofs.checkpoints import sealed_checkpoints, unpack

_SQL = SqlFiles("proofs")
FETCH_ENTRIES = 500


class SealedEntry(NamedTuple):
    """An entry, and the hash of the one before it."""

    user_id: str
    entry: Entry
    previous: bytes


class SealedAccount(NamedTuple):
    """An account as a checkpoint sealed it, with what leads to the root."""

    checkpoint: Checkpoint
    leaf: Leaf
    page: int
    place: int
    """From 0, in its page."""
    page_hashes: list[bytes]


class ProofReader:
    """Reads what proofs are made of, all in one snapshot."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def entry(self, entry_id: str) -> SealedEntry | None:
        """One entry by its id; None where there is none."""
        named = parse_entry_id(entry_id)
        row = None if named is None else await self._connection.fetchrow(_SQL["find_entry"], *named, entry_id)
        if row is None:
            return None
        return SealedEntry(row["user_id"], entry_of(orjson.loads(row["entry"])), row["previous_hash"] or bytes(32))

    async def account(self, user_id: str, seq: int) -> SealedAccount | None:
        """The account in the oldest checkpoint that covers its entry `seq` and whose sealed
        accounts are kept; None where none does.
        """
        found: SealedAccount | None = None
        for checkpoint in reversed(await sealed_checkpoints(self._connection)):
            row = await self._connection.fetchrow(_SQL["find_page"], checkpoint.number, user_id)
            leaves = [] if row is None else unpack(row["leaves"])
            place = next((place for place, leaf in enumerate(leaves) if leaf.user_id == user_id), None)
            if row is None or place is None or leaves[place].seq < seq:
                break
            hashes = [leaf_hash(leaf.encode()) for leaf in leaves]
            found = SealedAccount(checkpoint, leaves[place], row["page"], place, hashes)
        return found

    async def page_roots(self, number: int) -> list[bytes]:
        """The roots of a checkpoint's pages, in order."""
        return [row["root"] for row in await self._connection.fetch(_SQL["list_page_roots"], number)]

    async def digests_after(self, user_id: str, seq: int, upto: int) -> list[bytes]:
        """The SHA-256 of the canonical form of each entry after `seq` up to and with `upto`."""
        found: list[bytes] = []
        while seq < upto:
            rows = await self._connection.fetch(_SQL["list_entries_after"], user_id, seq, upto, FETCH_ENTRIES)
            if not rows:
                break
            entries = [entry_of(orjson.loads(row["entry"])) for row in rows]
            found += [sha256(canonical_form(user_id, each)).digest() for each in entries]
            seq = entries[-1].seq
        return found


class ProofStore:
    """Opens readers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[ProofReader]:
        """A reader on one snapshot, for the length of a block. Raises `Unavailable`."""
        async with (
            self._database.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield ProofReader(connection)
