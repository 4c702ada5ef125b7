"""PostgreSQL's own client programs: which of them fits a server, and running one without a secret
on its command line.
"""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pedro_ledger.ledger.errors import OperatorError
from pedro_ledger.postgres.embedded import find_binaries
from pedro_ledger.postgres.tls import SYSTEM
from pedro_ledger.postgres.url import DatabaseUrl

INSTALLED = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql@*/bin")
"""Where Debian, Red Hat and Homebrew keep one folder for each major version."""
VERSION_TIMEOUT_S = 10.0
OVERRULING = ("PGSERVICE", "PGSERVICEFILE", "PGHOSTADDR", "PGOPTIONS")
"""Variables that would lead libpq to another server than asyncpg, or to other settings."""


class ProgramError(OperatorError):
    """A program is missing or failed; the message says what to do."""


class Program(NamedTuple):
    """One of PostgreSQL's programs, as it is installed here."""

    path: Path
    major: int
    has_tls: bool


def find_programs(name: str) -> list[Program]:
    """Every `name` of this machine, oldest first; the embedded wheel's is the last of its version,
    for it speaks no TLS.
    """
    folders = sorted(folder for pattern in INSTALLED for folder in Path("/").glob(pattern))
    paths = [(folder / name, True) for folder in folders]
    on_path = shutil.which(name)
    if on_path is not None:
        paths.append((Path(on_path), True))
    embedded = find_binaries()
    if embedded is not None:
        paths.append((embedded / name, False))
    found = [Program(path, major, has_tls) for path, has_tls in paths if (major := _major(path)) is not None]
    return sorted(found, key=lambda program: program.major)


def fitting(name: str, server_major: int, url: DatabaseUrl) -> list[Program]:
    """The programs that can speak to the server: its own version first, then newer ones.

    Raises `ProgramError` where there is none.
    """
    needs_tls = url.tls.is_required
    found = [each for each in find_programs(name) if each.major >= server_major and (each.has_tls or not needs_tls)]
    if not found:
        raise ProgramError(
            f"There is no {name} for PostgreSQL {server_major} here: install its client programs "
            f"(postgresql-client-{server_major} on Debian) or put them into PATH."
        )
    return found


async def run_program(program: Program, arguments: Sequence[str], url: DatabaseUrl | None = None) -> str:
    """Run it to its end, against the server of `url`; what it printed.

    Raises `ProgramError` with the first of what it complained of.
    """
    process = await asyncio.create_subprocess_exec(
        str(program.path), *arguments,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment_of(url),
    )  # fmt: skip
    try:
        out, err = await process.communicate()
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    if process.returncode != 0:
        told = [line for line in err.decode(errors="replace").splitlines() if line.strip()]
        raise ProgramError("; ".join(told[:3]) or f"{program.path} ended with status {process.returncode}")
    return out.decode()


def environment_of(url: DatabaseUrl | None) -> dict[str, str]:
    """This process's environment with libpq's variables for the server, and without our own
    URLs.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PEDRO_") and name not in {"DATABASE_URL", "DIRECT_URL", "DATABASE_REPLICA_URL"}
    }
    for name in OVERRULING:
        kept.pop(name, None)
    kept["LC_ALL"] = "C"
    if url is None:
        return kept
    if url.tls.key_password is not None:
        raise ProgramError(
            "PostgreSQL's programs cannot be given sslpassword: write a URL whose sslkey is not encrypted."
        )
    given = {
        "PGHOST": ",".join(url.hosts),
        "PGPORT": ",".join(map(str, url.ports)),
        "PGUSER": url.user,
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database,
        "PGSSLMODE": url.tls.mode,
        "PGSSLROOTCERT": SYSTEM if url.tls.trusts_machine else url.tls.root,
        "PGSSLCERT": url.tls.certificate,
        "PGSSLKEY": url.tls.key,
        "PGSSLCRL": url.tls.revoked,
        "PGSSLMINPROTOCOLVERSION": url.tls.version_min,
        "PGSSLMAXPROTOCOLVERSION": url.tls.version_max,
        "PGPASSFILE": url.passfile,
        "PGOPTIONS": url.options,
        "PGTARGETSESSIONATTRS": url.target_session_attrs,
        "PGLOADBALANCEHOSTS": "random" if url.load_balance_hosts else None,
        "PGKRBSRVNAME": url.kerberos.get("krbsrvname"),
        "PGGSSLIB": url.kerberos.get("gsslib"),
        "PGAPPNAME": url.application_name,
        "PGCONNECT_TIMEOUT": str(max(2, round(url.connect_timeout_s))),  # libpq takes 1 for 2
    }
    return kept | {name: value for name, value in given.items() if value is not None}


def _major(path: Path) -> int | None:
    """The major version that a program says it has; None where it does not run."""
    try:
        done = subprocess.run(
            [str(path), "--version"], capture_output=True, text=True, check=False, timeout=VERSION_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return int(version.group(1)) if version is not None and done.returncode == 0 else None
