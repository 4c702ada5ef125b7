"""A streaming replica of a test server, made by its own pg_basebackup."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from pedro_ledger.postgres.embedded import EmbeddedPostgres
from tests.support.databases import PG_BIN, TestServer, temporary_folder


async def stop(server: TestServer) -> None:
    """Gone, as after a crash."""
    await asyncio.to_thread(server.server._run, "pg_ctl", "stop", "-D", str(server.server.cluster), "-m", "immediate")


class Standby(TestServer):
    """A hot standby that streams from `primary`."""

    async def replay(self, what: str) -> None:
        """`pause` or `resume` what it receives."""
        await self.execute(f"SELECT pg_wal_replay_{what}()")

    async def is_receiving(self) -> bool:
        """Whether it has a connection to its primary."""
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM pg_stat_wal_receiver)"))
        finally:
            await connection.close()

    async def stop(self) -> None:
        """Gone, as after a crash."""
        await stop(self)

    async def start(self) -> None:
        """Back again."""
        await asyncio.to_thread(self.server.start)


@contextmanager
def running_standby(primary: TestServer) -> Iterator[Standby]:
    """A standby of `primary`, from its base backup to its end."""
    with temporary_folder() as folder:
        server = EmbeddedPostgres(
            folder, bin_dir=primary.server.bin("postgres").parent if PG_BIN else None, linger_s=0, admits_owner=True
        )
        server._make_home()
        server._run(
            "pg_basebackup", "-D", str(server.cluster), "-R", "-X", "stream", "-c", "fast",
            "-h", str(primary.server.socket_dir), "-U", "postgres",
        )  # fmt: skip
        (server.home / "database-made").touch()
        server.start()
        try:
            yield Standby(server)
        finally:
            server.stop()
