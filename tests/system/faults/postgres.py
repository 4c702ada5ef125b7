"""A PostgreSQL server as this process's own child, so that it can be killed, stopped, starved and
promoted.

Nothing restarts it but the trial: the embedded server's keeper would be in the way.
"""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from urllib.parse import quote

import asyncpg

from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.embedded import PORT, SERVER_SETTINGS, SUPERUSER, EmbeddedPostgres
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.schema.migrations import migrate
from tests.support.databases import PG_BIN
from tests.system.faults import PATIENCE_S

DATABASE = "ledger"
NOBODY = pwd.getpwnam("nobody") if os.geteuid() == 0 else None


class Cluster:
    """A migrated data directory, made once and copied for each trial, and the programs that run
    it.
    """

    def __init__(self, folder: Path) -> None:
        self._server = EmbeddedPostgres(folder, bin_dir=Path(PG_BIN) if PG_BIN else None, linger_s=0)

    async def make(self) -> None:
        await asyncio.to_thread(self._server.start)
        try:
            connection = await asyncpg.connect(self._server.url("postgres"))
            await connection.execute(f"CREATE DATABASE {DATABASE}")
            await connection.close()
            await migrate(Database(parse_database_url(self._server.url(DATABASE))))
        finally:
            await asyncio.to_thread(self._server.stop)

    def program(self, name: str) -> str:
        return str(self._server.bin(name))

    def copy(self, target: Path, wal: Path | None = None) -> None:
        """The data directory at `target`, its WAL at `wal` where that is another disk."""
        subprocess.run(["cp", "-a", "--reflink=auto", f"{self._server.cluster}/.", str(target)], check=True)
        own(target)
        if wal is not None:
            own(wal)
            shutil.copytree(target / "pg_wal", wal, dirs_exist_ok=True)
            shutil.rmtree(target / "pg_wal")
            (target / "pg_wal").symlink_to(wal)
            subprocess.run(["chown", "-R", "--reference", str(target), str(wal)], check=True)

    def run(self, program: str, *arguments: str) -> None:
        """One of PostgreSQL's programs, to its end, as the server's user."""
        subprocess.run([self.program(program), *arguments], check=True, capture_output=True, **as_nobody())


class ChildServer:
    """One server. `settings` beat those that the embedded one has."""

    def __init__(
        self,
        cluster: Cluster,
        folder: Path,
        *,
        settings: Mapping[str, str] | None = None,
        data: Path | None = None,
    ) -> None:
        self.cluster = cluster
        self.folder = folder
        self.data = data or folder / "data"
        self.socket_dir = folder / "s"
        self.settings = {**SERVER_SETTINGS, "port": str(PORT), **(settings or {})}
        self.process: asyncio.subprocess.Process | None = None
        self.is_frozen = False

    def url(self, host: Path | str | None = None, database: str = DATABASE) -> str:
        """Where daemons find it, or what stands before it at `host`."""
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(host or self.socket_dir), safe='/')}"

    async def start(self, *, wait: bool = True) -> float:
        """Start, and wait until it takes connections. Returns the seconds that it took."""
        started = perf_counter()
        own(self.socket_dir)
        options = [f"-c{name}={value}" for name, value in self.settings.items()]
        with (self.folder / "server.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                self.cluster.program("postgres"), "-D", str(self.data), f"-cunix_socket_directories={self.socket_dir}", *options,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **as_nobody(),
            )  # fmt: skip
        self.is_frozen = False
        if wait:
            await self.until_ready()
        return perf_counter() - started

    async def until_ready(self) -> None:
        """Until it takes connections."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                assert self.process is not None, "start it first"
                assert self.process.returncode is None, self.last_words()
                try:  # a server that is about to reset all sessions may let one in first
                    connection = await asyncpg.connect(self.url(database="postgres"), timeout=5)
                    await connection.close(timeout=5)
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await asyncio.sleep(0.01)
                else:
                    return

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def revive(self) -> None:
        """Start it again if it is down, until it stays up."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if not self.is_running:
                    await self.start(wait=False)
                try:
                    await self.until_ready()
                except AssertionError:
                    await asyncio.sleep(0.1)
                else:
                    return

    async def execute(self, *statements: str, database: str = "postgres") -> None:
        connection = await asyncpg.connect(self.url(database=database), timeout=PATIENCE_S)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def fetchval(self, query: str, database: str = "postgres") -> object:
        connection = await asyncpg.connect(self.url(database=database), timeout=PATIENCE_S)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    async def kill(self) -> None:
        """kill -9 of the postmaster; its children notice and go."""
        assert self.process is not None, "start it first"
        children = self.children()
        self.process.kill()
        await self.process.wait()
        await until_gone(children)

    async def crash(self) -> None:
        """Every process at once, so that nobody writes what is still in memory."""
        assert self.process is not None, "start it first"
        self.process.send_signal(signal.SIGSTOP)  # it would look after its children
        children = self.children()
        for child in children:
            kill(child, signal.SIGKILL)
        self.process.kill()
        await self.process.wait()
        await until_gone(children)

    def freeze_wal_writer(self) -> None:
        """Nobody but those who commit writes the WAL any more."""
        for child in self.children():
            if b"walwriter" in Path(f"/proc/{child}/cmdline").read_bytes():
                kill(child, signal.SIGSTOP)
                return
        raise AssertionError("the server has no WAL writer")

    def freeze(self) -> None:
        """SIGSTOP, to all of it."""
        self.is_frozen = True
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)
        self.is_frozen = False

    async def stop(self) -> None:
        """In good order."""
        if self.process is None or self.process.returncode is not None:
            return
        if self.is_frozen:
            self.thaw()
        self.process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(20):
                await self.process.wait()
        except TimeoutError:
            await self.crash()

    def children(self) -> list[int]:
        """Pids of the postmaster's children."""
        assert self.process is not None, "start it first"
        return children_of(self.process.pid)

    def last_words(self) -> str:
        return "\n".join((self.folder / "server.log").read_text(errors="replace").splitlines()[-15:])

    def panics(self) -> int:
        """How often it has ended all sessions because it could not go on."""
        return (self.folder / "server.log").read_bytes().count(b"PANIC:")

    def _signal_all(self, number: int) -> None:
        assert self.process is not None, "start it first"
        pids = [self.process.pid, *self.children()]
        for pid in pids if number == signal.SIGSTOP else reversed(pids):
            kill(pid, number)


def kill(pid: int, number: int) -> None:
    """A signal to what may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def children_of(parent: int) -> list[int]:
    """Pids of a process's children."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                fields = (place / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append(int(place.name))
    return found


async def until_gone(pids: list[int]) -> None:
    """Until none of them runs; a server does not start while a process of the last one is there."""
    async with asyncio.timeout(PATIENCE_S):
        while any(_runs(pid) for pid in pids):
            await asyncio.sleep(0.005)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def own(folder: Path) -> None:
    """A private folder of the server's user."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    if NOBODY is not None:
        os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)


def as_nobody() -> dict[str, object]:
    """How a server's program is run: PostgreSQL refuses to be root."""
    plain: dict[str, object] = {"cwd": "/", "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}}
    if NOBODY is None:
        return plain
    return plain | {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid, "extra_groups": []}


def supports_proc() -> bool:
    """Whether processes can be watched as the harness does it."""
    return sys.platform == "linux"
