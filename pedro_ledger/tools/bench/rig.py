"""The server, databases and processes that rows are run against, each made when the first row asks for it."""

import asyncio
import os
import secrets
import subprocess
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
from pedro_ledger.tools.bench import size
from pedro_ledger.tools.bench.function import function_sql
from pedro_ledger.tools.bench.loads import BenchError
from pedro_ledger.tools.bench.processes import Server, family_cpu_s
from pedro_ledger.tools.bench.rows import Target

T = TypeVar("T")
USERS = 2000
CREDITS = 2_000_000_000
"""Of each user: more than any run takes, and within a PostgreSQL integer."""
REMOTE_DELAY_MS = 1.0
ROUND_TRIPS = 100
HOT_USER = USERS + 1


def user_name(number: int) -> str:
    """The id that `make_users.sql` gives the user of this number."""
    return f"bench_{number:08d}"


class Rig:
    """Use as a context; everything that was started is ended in reverse."""

    def __init__(
        self,
        folder: Path,
        *,
        size_users: int = 0,
        size_entries: int = 0,
        bin_dir: Path | None = None,
    ) -> None:
        self.folder = folder
        self.size_users = size_users
        self.size_entries = size_entries
        self.api_key = "bench_" + secrets.token_urlsafe(24)
        self.postgres = EmbeddedPostgres(folder, bin_dir=bin_dir)
        self.postgres_pid: int | None = None
        self.daemon_command: tuple[str, ...] = ("-m", "pedro_ledger")
        """What Python is told to run as a daemon; its arguments follow."""
        self._servers: dict[Target, Server] = {}
        self._far_place: Path | None = None
        self._databases: list[str] = []
        self._ledgers: list[str] = []
        self._stack = ExitStack()

    def __enter__(self) -> "Rig":
        with ExitStack() as stack:
            self.postgres.start()
            stack.callback(self.postgres.stop)
            self.postgres_pid = int((self.postgres.cluster / "postmaster.pid").read_text().split()[0])
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_servers()
        self._stack.close()

    def server(self, target: Target) -> Server:
        """The process of a target, started now if it is not running."""
        if target not in self._servers:
            self._servers[target] = self._start(target)
        return self._servers[target]

    def restart(self, target: Target) -> Server:
        """The process of a target, started anew."""
        if target in self._servers:
            self._servers.pop(target).stop()
        return self.server(target)

    def stop_servers(self) -> None:
        """End every process under test."""
        for target in reversed(list(self._servers)):
            self._servers.pop(target).stop()

    def users_file(self, target: Target, *, is_hot: bool) -> Path:
        """A file that names the users of a load, one a line. In a large ledger they lie evenly among all users."""
        if is_hot:
            return self.write_users("hot", [HOT_USER])
        step = self.size_users // USERS if target is Target.SIZE_DAEMON else 1
        return self.write_users(f"{step}", range(1, USERS * step + 1, step))

    def write_users(self, name: str, numbers: "range | list[int]") -> Path:
        """A file with the ids of these users."""
        file = self.folder / f"users-{name}.txt"
        file.write_text("".join(user_name(number) + "\n" for number in numbers))
        return file

    def copy_database(self) -> str:
        """The URL of the database with nothing but the app's tables, for the row copy."""
        return self._app_database("bench_copy")

    def postgres_cpu_s(self) -> float | None:
        """User and system time of PostgreSQL's processes so far."""
        return None if self.postgres_pid is None else family_cpu_s(self.postgres_pid)

    def postgres_version(self) -> str:
        """Of the server."""
        return str(self.sql("postgres", lambda connection: connection.fetchval("SHOW server_version")))

    def round_trips_ms(self) -> dict[str, float]:
        """How long a query that does nothing takes from near and from afar, median."""
        return {
            "near_round_trip_ms": asyncio.run(_round_trip_ms(self.postgres.url("postgres"))),
            "far_round_trip_ms": asyncio.run(_round_trip_ms(self._far("postgres"))),
        }

    def verify(self) -> list[dict[str, Any]]:
        """`pedro-ledger verify` of every ledger that was written to: what it says, and its exit status as `status`."""
        return [
            {"database": name, **self.command(self.postgres.url(name), "verify", "--json")} for name in self._ledgers
        ]

    def command(self, url: str, *arguments: str) -> dict[str, Any]:
        """Run one of the daemon's own commands; its exit status and the last line that it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "pedro_ledger", *arguments],
            env=self._environment(url),
            capture_output=True,
            text=True,
            check=False,
        )
        said = (done.stdout.strip() or done.stderr.strip()).splitlines() or ["nothing"]
        return {"status": done.returncode, "says": said[-1]}

    def sql(self, database: str, job: "Callable[[Any], Coroutine[Any, Any, T]]") -> T:
        """Run `job` on a connection of its own to a database of the server."""

        async def run() -> T:
            connection = await asyncpg.connect(self.postgres.url(database))
            try:
                return await job(connection)
            finally:
                await connection.close()

        return asyncio.run(run())

    def _start(self, target: Target) -> Server:
        match target:
            case Target.ECHO:
                return self._server(target, "", "-m", "pedro_ledger.tools.bench.echo")
            case Target.FUNCTION:
                return self._server(target, self._function_database(), "-m", "pedro_ledger.tools.bench.function")
            case Target.REMOTE_FUNCTION:
                self._function_database()
                return self._server(target, self._far("bench_app"), "-m", "pedro_ledger.tools.bench.function")
            case Target.DAEMON:
                return self._server(target, self._ledger("bench_ledger"), *self.daemon_command, "serve")
            case Target.REMOTE_DAEMON:
                self._ledger("bench_remote")
                return self._server(target, self._far("bench_remote"), *self.daemon_command, "serve")
            case Target.SIZE_DAEMON:
                return self._server(target, self._large_ledger(), *self.daemon_command, "serve")
            case Target.COPY:
                raise AssertionError("copy speaks to PostgreSQL directly")

    def _server(self, target: Target, url: str, *arguments: str) -> Server:
        return Server([sys.executable, *arguments], self._environment(url), self.folder / f"{target}.log")

    def _environment(self, url: str) -> dict[str, str]:
        """The caller's environment, so that PEDRO_… settings can be tried, but for what would lead elsewhere."""
        ours = {"DATABASE_URL", "DIRECT_URL", "DATABASE_REPLICA_URL", "PEDRO_HOST"}
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        return kept | {
            "DATABASE_URL": url,
            "PEDRO_PORT": "0",
            "PEDRO_ALLOW_OWNER": "true",
            "PEDRO_API_KEY": self.api_key,
            "PEDRO_DATA_DIR": str(self.folder / "daemon"),
        }

    def _app_database(self, name: str) -> str:
        """A database with the app's tables as Prisma makes them, and users with credits."""
        if name not in self._databases:
            self._create(name)

            async def fill(connection: Any) -> None:
                await connection.execute((sql_folder() / "migrations" / "0001_app_schema.sql").read_text())
                make_users = (files("pedro_ledger.tools.bench") / "make_users.sql").read_text()
                await connection.execute(make_users, 1, HOT_USER, CREDITS)
                await connection.execute("VACUUM ANALYZE")

            self.sql(name, fill)
            self._databases.append(name)
        return self.postgres.url(name)

    def _function_database(self) -> str:
        made = "bench_app" in self._databases
        url = self._app_database("bench_app")
        if not made:
            self.sql("bench_app", lambda connection: connection.execute(function_sql()))
        return url

    def _ledger(self, name: str) -> str:
        """A database that the app had filled before `pedro-ledger migrate` took it over."""
        if name not in self._ledgers:
            self._migrate(self._app_database(name))
            self._ledgers.append(name)
        return self.postgres.url(name)

    def _large_ledger(self) -> str:
        name = "bench_size"
        if name not in self._ledgers:
            self._create(name)
            self._migrate(self.postgres.url(name))
            asyncio.run(size.load(self.postgres.url(name), self.size_users, self.size_entries))
            self._ledgers.append(name)
        return self.postgres.url(name)

    def _create(self, name: str) -> None:
        self.sql("postgres", lambda connection: connection.execute(f'CREATE DATABASE "{name}"'))

    def _migrate(self, url: str) -> None:
        done = self.command(url, "migrate")
        if done["status"] != 0:
            raise BenchError(f"pedro-ledger migrate failed: {done['says']}")

    def _far(self, database: str) -> str:
        """A database of the server behind the delaying proxy."""
        if self._far_place is None:
            # Not in the data folder, which may be deep: the path of a socket is limited.
            self._far_place = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pedro-far-")))
            socket = f".s.PGSQL.{PORT}"
            command = [
                sys.executable, "-m", "pedro_ledger.tools.bench.proxy",
                str(self._far_place / socket), str(self.postgres.socket_dir / socket), str(REMOTE_DELAY_MS),
            ]  # fmt: skip
            proxy = Server(command, os.environ, self.folder / "proxy.log")
            self._stack.callback(proxy.stop)
        return f"postgresql://postgres@/{database}?host={quote(str(self._far_place), safe='/')}"


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
