"""A large ledger, made inside the server: every user gets the same steps, an opening and then
deducts of one credit.

The rows are those that the daemon would have written, hash chain included, so `verify` accepts
them. What is the same for every user in an entry's id and in its hashed form (see
`ledger/chain.py`) is made here once; the user's own part is added in SQL.
"""

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from time import time_ns
from typing import NamedTuple

import asyncpg

from pedro_ledger.ledger.chain import VERSION
from pedro_ledger.ledger.ids import account_tag, entry_id
from pedro_ledger.ledger.operations import OPENING_KEY, Deduct, Opening, Operation, fingerprint
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.reports.rollups import RollupWorker

CREDITS = 2_000_000_000
CHUNK_ENTRIES = 50_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class EntryPattern(NamedTuple):
    """What entry `seq` of every user has in common."""

    seq: int
    id_head: str
    id_tail: str
    form_middle: bytes
    form_tail: bytes
    kind: str
    key: str
    fingerprint: bytes
    actor: str
    credits: int
    balance_after: int
    at: datetime


def steps(count: int, first_at_ms: int, stride_ms: int = 1) -> list[EntryPattern]:
    """The ledger of each user: `count` entries, `stride_ms` apart from `first_at_ms` on."""
    return [_step(seq, first_at_ms + seq * stride_ms) for seq in range(1, count + 1)]


def _step(seq: int, at_ms: int) -> EntryPattern:
    operation: Operation
    if seq == 1:
        kind, operation_type, credits = "opening", "", CREDITS
        operation = Opening(OPENING_KEY, "adoption", credits)
    else:
        kind, operation_type, credits = "deduct", "AI_TEXT_CHAT", -1
        operation = Deduct(f"size-{seq}", "initial", operation_type, 1)
    balance_after = CREDITS - (seq - 1)
    mark = fingerprint(operation)
    head, tail = entry_id(at_ms, account_tag(""), seq).split(account_tag(""))
    form_tail = (
        f"{tail}\0{kind}\0{operation_type}\0{credits}\0{balance_after}\0{0}\0\0\0\0"
        f"\0{operation.key}\0{mark.hex()}\0{operation.actor}\0\0\0{at_ms}"
    )
    return EntryPattern(
        seq, head, tail, f"\0{seq}\0{head}".encode(), form_tail.encode(), kind, operation.key, mark, operation.actor,
        credits, balance_after, _EPOCH + timedelta(milliseconds=at_ms),
    )  # fmt: skip


async def load(url: str, users: int, entries: int, *, stride_ms: int = 1) -> None:
    """Fill an empty, migrated database with `users` users and `entries` entries in all, on as many
    connections as there are cores.

    A user's entries are `stride_ms` apart; the last one is an hour old.
    """
    count = max(1, entries // users)
    plan = steps(count, time_ns() // 1_000_000 - 3_600_000 - count * stride_ms, stride_ms)
    chunks = _chunks(users, max(1, CHUNK_ENTRIES // len(plan)))
    await asyncio.gather(*(_load_chunks(url, chunks, plan) for _ in range(os.cpu_count() or 1)))
    await _roll_up(url)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM (ANALYZE)")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _roll_up(url: str) -> None:
    """What the load queued for the reports, before a daemon does it beside what is measured."""
    database = Database(parse_database_url(url), slow_query_ms=600_000)
    await database.open()
    try:
        await RollupWorker(database, interval_s=1).roll_up()
    finally:
        await database.close()


def _chunks(users: int, length: int) -> Iterator[tuple[int, int]]:
    for first in range(1, users + 1, length):
        yield first, min(first + length - 1, users)


async def _load_chunks(url: str, chunks: Iterator[tuple[int, int]], plan: list[EntryPattern]) -> None:
    statement = (files("pedro_ledger.tools.bench") / "load_large_ledger.sql").read_text()
    columns = [list(column) for column in zip(*plan, strict=True)]
    settings = {"synchronous_commit": "off", "jit": "off", "work_mem": "256MB"}
    connection = await asyncpg.connect(url, server_settings=settings)
    try:
        for first, last in chunks:
            await connection.execute(statement, first, last, *columns, f"{VERSION}\0".encode())
    finally:
        await connection.close()
