"""The bench's PostgreSQL: one embedded server, the databases on it, a way to it that takes longer,
and what it consumes.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from statistics import median
from time import perf_counter
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import asyncpg

from pedro_ledger.postgres.embedded import PORT, EmbeddedPostgres
from pedro_ledger.postgres.queries import sql_folder
from pedro_ledger.tools.bench.function import function_sql
from pedro_ledger.tools.bench.processes import Server, family_cpu_s

T = TypeVar("T")
USERS = 2000
CREDITS = 2_000_000_000
"""Of each user: more than any run takes, and within a PostgreSQL integer."""
REMOTE_DELAY_MS = 1.0
ROUND_TRIPS = 100
HOT_USER = USERS + 1


class Databases:
    """Use as a context: the server runs inside it, and what was started to reach it ends with
    it.
    """

    def __init__(self, folder: Path, *, bin_dir: Path | None = None, settings: dict[str, str] | None = None) -> None:
        self._folder = folder
        self._postgres = EmbeddedPostgres(folder, bin_dir=bin_dir, settings=settings)
        self._postmaster_pid: int | None = None
        self._far_place: Path | None = None
        self._made: set[str] = set()
        self._stack = ExitStack()

    def __enter__(self) -> "Databases":
        with ExitStack() as stack:
            stack.callback(self._postgres.stop)
            self._postgres.start()
            self._postmaster_pid = int((self._postgres.cluster / "postmaster.pid").read_text().split()[0])
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def url(self, database: str) -> str:
        """The URL of a database of the server."""
        return self._postgres.url(database)

    def far_url(self, database: str) -> str:
        """The URL of a database of the server behind the delaying proxy, which is started now if it
        is not running.
        """
        if self._far_place is None:
            # Not in the data folder, which may be deep: the path of a socket is limited.
            place = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pedro-far-")))
            socket = f".s.PGSQL.{PORT}"
            command = [
                sys.executable, "-m", "pedro_ledger.tools.bench.proxy",
                str(place / socket), str(self._postgres.socket_dir / socket), str(REMOTE_DELAY_MS),
            ]  # fmt: skip
            proxy = Server("the delaying proxy", command, os.environ, self._folder / "proxy.log")
            self._stack.callback(proxy.stop)
            self._far_place = place
        return f"postgresql://postgres@/{database}?host={quote(str(self._far_place), safe='/')}"

    def cpu_s(self) -> float | None:
        """User and system time of PostgreSQL's processes so far."""
        return None if self._postmaster_pid is None else family_cpu_s(self._postmaster_pid)

    def version(self) -> str:
        """Of the server."""
        return str(self.sql("postgres", lambda connection: connection.fetchval("SHOW server_version")))

    def round_trips_ms(self) -> dict[str, float]:
        """How long a query that does nothing takes from near and from afar, median."""
        return {
            "near_round_trip_ms": asyncio.run(_round_trip_ms(self.url("postgres"))),
            "far_round_trip_ms": asyncio.run(_round_trip_ms(self.far_url("postgres"))),
        }

    def sql(self, database: str, job: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Run `job` on a connection of its own to a database of the server."""

        async def run() -> T:
            connection = await asyncpg.connect(self.url(database))
            try:
                return await job(connection)
            finally:
                await connection.close()

        return asyncio.run(run())

    def create(self, name: str) -> bool:
        """Make an empty database of this name.

        Returns whether it is new: it may have been made by an earlier call.
        """
        if name in self._made:
            return False
        self.sql("postgres", lambda connection: connection.execute(f'CREATE DATABASE "{name}"'))
        self._made.add(name)
        return True

    def create_for_app(self, name: str) -> bool:
        """Make a database with the app's tables as Prisma makes them, and users with credits.

        Returns whether it is new.
        """
        if not self.create(name):
            return False

        async def fill(connection: Any) -> None:
            await connection.execute((sql_folder() / "migrations" / "0001_app_schema.sql").read_text())
            make_users = (files("pedro_ledger.tools.bench") / "make_users.sql").read_text()
            await connection.execute(make_users, 1, HOT_USER, CREDITS)
            await connection.execute("VACUUM ANALYZE")

        self.sql(name, fill)
        return True

    def create_for_function(self, name: str) -> None:
        """Make a database for the SQL function that deducts instead of a daemon."""
        if self.create_for_app(name):
            self.sql(name, lambda connection: connection.execute(function_sql()))


async def _round_trip_ms(url: str) -> float:
    connection = await asyncpg.connect(url)
    try:
        times = []
        for _ in range(ROUND_TRIPS):
            started = perf_counter()
            await connection.fetchval("SELECT 1")
            times.append(perf_counter() - started)
        return median(times) * 1000
    finally:
        await connection.close()
