"""The processes that rows are run against, and their databases, each made when the first row asks
for it.
"""

import asyncio
import os
import secrets
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from pedro_ledger.tools.bench import lots, size
from pedro_ledger.tools.bench.checkouts import Checkout
from pedro_ledger.tools.bench.databases import HOT_USER, USERS, Databases
from pedro_ledger.tools.bench.loads import BenchError
from pedro_ledger.tools.bench.processes import Server
from pedro_ledger.tools.bench.rows import Target


def user_name(number: int) -> str:
    """The id that `make_users.sql` gives the user of this number."""
    return f"bench_{number:08d}"


class Rig:
    """One checkout's processes on the bench's server. Use as a context; everything that was started
    is ended in reverse.

    Its files lie in `folder`, its databases' names begin with `prefix`; `settings` are the
    daemon's, by environment variable.
    """

    def __init__(
        self,
        databases: Databases,
        checkout: Checkout,
        folder: Path,
        *,
        prefix: str = "bench",
        settings: dict[str, str] | None = None,
        size_users: int = 0,
        size_entries: int = 0,
    ) -> None:
        self.databases = databases
        self.checkout = checkout
        self.folder = folder
        self.size_users = size_users
        self.size_entries = size_entries
        self.api_key = "bench_" + secrets.token_urlsafe(24)
        self.daemon_command: tuple[str, ...] = ("-m", "pedro_ledger")
        """What Python is told to run as a daemon; its arguments follow."""
        self._prefix = prefix
        self._settings = settings or {}
        self._servers: dict[Target, Server] = {}
        self._ledgers: list[str] = []

    def __enter__(self) -> "Rig":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_servers()

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
        """A file that names the users of a load, one a line.

        In a large ledger they lie evenly among all users.
        """
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
        self.databases.create_for_app(self._name("copy"))
        return self.databases.url(self._name("copy"))

    def ledgers(self) -> list[str]:
        """The names of the databases that a daemon has written to."""
        return list(self._ledgers)

    def check(self) -> None:
        """Raise `BenchError` if a process under test has ended by itself."""
        for server in self._servers.values():
            server.check()

    def verify(self) -> list[dict[str, Any]]:
        """`pedro-ledger verify` of every ledger that was written to: what it says, and its exit
        status as `status`.
        """
        return [
            {"database": name, **self.command(self.databases.url(name), "verify", "--json")} for name in self._ledgers
        ]

    def command(self, url: str, *arguments: str) -> dict[str, Any]:
        """Run one of the daemon's own commands; its exit status and the last line that it
        prints.
        """
        done = subprocess.run(
            [self.checkout.python, "-m", "pedro_ledger", *arguments],
            env=self._environment(url),
            cwd=self.checkout.root,
            capture_output=True,
            text=True,
            check=False,
        )
        said = (done.stdout.strip() or done.stderr.strip()).splitlines() or ["nothing"]
        return {"status": done.returncode, "says": said[-1]}

    def _start(self, target: Target) -> Server:
        match target:
            case Target.ECHO:
                return self._server(target, "", "-m", "pedro_ledger.tools.bench.echo")
            case Target.FUNCTION | Target.REMOTE_FUNCTION:
                name, is_far = self._name("app"), target is Target.REMOTE_FUNCTION
                self.databases.create_for_function(name)
                return self._server(target, self._url(name, is_far=is_far), "-m", "pedro_ledger.tools.bench.function")
            case Target.DAEMON:
                return self._daemon(target, self._ledger("ledger"))
            case Target.REMOTE_DAEMON:
                return self._daemon(target, self._ledger("remote"), is_far=True)
            case Target.SIZE_DAEMON:
                return self._daemon(target, self._large_ledger())
            case Target.LOTS_DAEMON:
                server = self._daemon(target, self._ledger("lots"))
                lots.grant(server.port, self.api_key, [user_name(number) for number in range(1, USERS + 1)])
                return server
            case Target.COPY:
                raise AssertionError("copy speaks to PostgreSQL directly")

    def _daemon(self, target: Target, ledger: str, *, is_far: bool = False) -> Server:
        return self._server(target, self._url(ledger, is_far=is_far), *self.daemon_command, "serve")

    def _server(self, target: Target, url: str, *arguments: str) -> Server:
        return Server(
            f"{self.checkout.name} ({self.checkout.root}): {target}",
            [self.checkout.python, *arguments],
            self._environment(url),
            self.folder / f"{target}.log",
            cwd=self.checkout.root,
        )

    def _environment(self, url: str) -> dict[str, str]:
        """The caller's environment, so that PEDRO_… settings can be tried, but for what would lead
        elsewhere.
        """
        ours = {"DATABASE_URL", "DIRECT_URL", "DATABASE_REPLICA_URL", "PEDRO_HOST"}
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        return (
            self.checkout.environment(kept)
            | self._settings
            | {
                "DATABASE_URL": url,
                "PEDRO_PORT": "0",
                "PEDRO_ALLOW_OWNER": "true",
                "PEDRO_API_KEY": self.api_key,
                "PEDRO_DATA_DIR": str(self.folder / "daemon"),
            }
        )

    def _name(self, database: str) -> str:
        return f"{self._prefix}_{database}"

    def _url(self, name: str, *, is_far: bool) -> str:
        return self.databases.far_url(name) if is_far else self.databases.url(name)

    def _ledger(self, database: str) -> str:
        """The name of a database that the app had filled before `pedro-ledger migrate` took it
        over.
        """
        name = self._name(database)
        if name not in self._ledgers:
            self.databases.create_for_app(name)
            self._migrate(name)
        return name

    def _large_ledger(self) -> str:
        name = self._name("size")
        if name not in self._ledgers:
            self.databases.create(name)
            self._migrate(name)
            asyncio.run(size.load(self.databases.url(name), self.size_users, self.size_entries))
        return name

    def _migrate(self, name: str) -> None:
        done = self.command(self.databases.url(name), "migrate")
        if done["status"] != 0:
            raise BenchError(
                f"{self.checkout.name} ({self.checkout.root}): pedro-ledger migrate failed: {done['says']}"
            )
        self._ledgers.append(name)
