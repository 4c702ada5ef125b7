"""The limit of the table: COPY into the app's `UsageHistory` as Prisma makes it, one connection, a
transaction after the other.
"""

import random
from io import BytesIO
from itertools import count
from time import perf_counter
from typing import NamedTuple
from uuid import uuid4

import asyncpg

from pedro_ledger.tools.bench.figures import Latency
from pedro_ledger.tools.bench.generator import RAMP_SHARE
from pedro_ledger.tools.bench.loads import Loaded

COLUMNS = ("id", "userId", "creditBalanceId", "operationType", "creditsUsed", "timestamp")


class _Copied(NamedTuple):
    at: float
    seconds: float


async def copy_rows(url: str, users: list[str], rows_each: int, seconds: float) -> Loaded:
    """Copy `rows_each` rows a transaction for `seconds`, the text made anew for each, of users
    drawn at random.
    """
    prefix, numbers = uuid4().hex, count(1)
    copied: list[_Copied] = []
    connection = await asyncpg.connect(url)
    try:
        started = perf_counter()
        while (now := perf_counter()) < started + seconds:
            lines = [
                f"{prefix}{next(numbers):010d}\t{user}\tbalance_{user}\tAI_TEXT_CHAT\t1\t2026-01-01 00:00:00\n"
                for user in random.choices(users, k=rows_each)  # noqa: S311 - no secret
            ]
            await connection.copy_to_table("UsageHistory", source=BytesIO("".join(lines).encode()), columns=COLUMNS)
            done = perf_counter()
            copied.append(_Copied(done, done - now))
    finally:
        await connection.close()
    ramp = max((one.at for one in copied if one.at <= started + seconds * RAMP_SHARE), default=started)
    counted = [one for one in copied if one.at > ramp]
    latency = Latency.of(one.seconds for one in counted) if counted else Latency(0, 0, 0)
    return Loaded(len(counted) * rows_each, max(1e-9, copied[-1].at - ramp), len(copied) * rows_each, latency, {})
