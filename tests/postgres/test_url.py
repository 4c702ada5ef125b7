"""Database URLs as Prisma writes them."""

import socket
import ssl
from pathlib import Path
from time import perf_counter

import asyncpg
import pytest

from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.url import DatabaseUrlError, parse_database_url


def test_prismas_parameters_are_understood_and_not_passed_on() -> None:
    url = parse_database_url(
        "postgresql://us%40er:p%2Fss@db.example.com:6543/pedro_ai?schema=public&direct=true&pgbouncer=true"
        "&connection_limit=20&pool_timeout=5&connect_timeout=3&socket_timeout=9&sslmode=require&statement_cache_size=0"
    )
    assert (url.hosts, url.ports, url.user, url.password) == (("db.example.com",), (6543,), "us@er", "p/ss")
    assert (url.database, url.connection_limit, url.pgbouncer) == ("pedro_ai", 20, True)
    assert url.asyncpg_arguments().keys() == {"host", "port", "user", "password", "database", "ssl"}


@pytest.mark.parametrize(
    ("options", "pool_timeout_s", "connect_timeout_s"),
    [("", 5, 5), ("?pool_timeout=7&connect_timeout=3", 7, 3), ("?pool_timeout=0&connect_timeout=0", 300, 300)],
)
def test_timeouts(options: str, pool_timeout_s: float, connect_timeout_s: float) -> None:
    url = parse_database_url(f"postgresql://h/d{options}")
    assert (url.pool_timeout_s, url.connect_timeout_s) == (pool_timeout_s, connect_timeout_s)


async def test_a_full_pool_is_waited_for_as_long_as_the_url_says(database_url: str) -> None:
    database = Database(parse_database_url(database_url + "&connection_limit=1&pool_timeout=1"))
    await database.open()
    async with database.acquire():
        started = perf_counter()
        with pytest.raises(Unavailable):
            async with database.acquire():
                pass
        assert perf_counter() - started >= 0.99
    await database.close()


async def test_a_server_that_never_answers_is_waited_for_as_long_as_the_url_says() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = parse_database_url(
            f"postgresql://u@127.0.0.1:{mute.getsockname()[1]}/d?connect_timeout=1&sslmode=disable"
        )
        started = perf_counter()
        with pytest.raises(TimeoutError):
            await Database(url).connect()
        assert perf_counter() - started >= 0.99


async def test_asyncpg_takes_what_is_passed_on(database_url: str) -> None:
    url = parse_database_url(database_url + "&schema=public&connection_limit=3&sslmode=prefer&application_name=x")
    connection = await asyncpg.connect(**url.asyncpg_arguments())
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


@pytest.mark.parametrize(
    ("text", "hosts", "ports"),
    [
        ("postgres://h/d", ("h",), (5432,)),
        ("postgresql:///d", ("localhost",), (5432,)),
        ("postgresql://u@/d?host=/run/postgresql", ("/run/postgresql",), (5432,)),
        ("postgresql://u@localhost:5433/d?host=/run/postgresql", ("/run/postgresql",), (5433,)),
        ("postgresql://[::1]:5433/d", ("::1",), (5433,)),
        ("postgresql://a,b:5433/d", ("a", "b"), (5432, 5433)),
    ],
)
def test_hosts(text: str, hosts: tuple[str, ...], ports: tuple[int, ...]) -> None:
    url = parse_database_url(text)
    assert (url.hosts, url.ports, url.database) == (hosts, ports, "d")


@pytest.mark.parametrize(
    "text",
    [
        "mysql://u:hunter2@h/d",
        "postgresql://u:hunter2@h:port/d",
        "postgresql://u:hunter2@h/d?connection_limit=many",
        "postgresql://u:hunter2@h/d?pool_timeout=301",
        "postgresql://u:hunter2@h/d?connect_timeout=-1",
        "postgresql://u:hunter2@h/d?pgbouncer=yes",
        "postgresql://u:hunter2@h/d?sslmode=maybe",
        "postgresql://u:hunter2@h/d?schema=other",
        "postgresql://u:hunter2@h/d?sslrootcert=/no/such/file",
        "postgresql://u:hunter2@h/d?unknown=1",
        "postgresql://u:hunter2@[::1/d",
    ],
)
def test_a_url_that_cannot_be_used_is_one_line_without_its_password(text: str) -> None:
    with pytest.raises(DatabaseUrlError) as error:
        parse_database_url(text, "DIRECT_URL")
    assert str(error.value).startswith("DIRECT_URL")
    assert "hunter2" not in str(error.value)
    assert "\n" not in str(error.value)


def test_no_password_shows() -> None:
    assert "hunter2" not in repr(parse_database_url("postgresql://u:hunter2@h/d"))
    assert "hunter2" not in parse_database_url("postgresql://u:hunter2@h/d").label


@pytest.mark.parametrize(
    "options", ["sslaccept=strict", "sslmode=verify-full", "sslmode=verify-full&sslrootcert=system"]
)
def test_without_a_file_the_machines_own_authorities_are_trusted(options: str) -> None:
    context = parse_database_url(f"postgresql://h/d?{options}").asyncpg_arguments()["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)


def test_a_file_without_certificates_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_text("no certificate")
    with pytest.raises(DatabaseUrlError, match=r"DATABASE_URL: .*root\.pem holds no certificate"):
        parse_database_url(f"postgresql://h/d?sslmode=verify-ca&sslrootcert={tmp_path / 'root.pem'}")
