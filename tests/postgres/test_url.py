"""Database URLs as Prisma writes them."""

import re
import socket
import ssl
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from asyncpg import connect_utils

from pedro_ledger.daemon.databases import primary_of
from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.url import HONOURED, NO_OTHER_VALUE, PRISMAS_OWN, DatabaseUrlError, parse_database_url
from tests.support.certificates import Authority
from tests.support.databases import TestServer


def test_prismas_parameters_are_understood_and_not_passed_on() -> None:
    url = parse_database_url(
        "postgresql://us%40er:p%2Fss@db.example.com:6543/pedro_ai?schema=public&direct=true&pgbouncer=true"
        "&connection_limit=20&pool_timeout=5&connect_timeout=3&socket_timeout=9&sslmode=require&statement_cache_size=0"
    )
    assert (url.hosts, url.ports, url.user, url.password) == (("db.example.com",), (6543,), "us@er", "p/ss")
    assert (url.database, url.connection_limit, url.pgbouncer) == ("pedro_ai", 20, True)
    assert url.asyncpg_arguments().keys() == {
        "host",
        "port",
        "user",
        "password",
        "database",
        "target_session_attrs",
        "ssl",
    }


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
        ("postgresql://a:1,b:2,[::1]:3/d", ("a", "b", "::1"), (1, 2, 3)),
        ("postgresql://u@/d?host=/one,/two", ("/one", "/two"), (5432, 5432)),
        ("postgresql:///d?host=a,b&port=5433", ("a", "b"), (5433, 5433)),
        ("postgresql:///d?host=a,b&port=5433,5434", ("a", "b"), (5433, 5434)),
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
        "postgresql://u:hunter2@h/d?host=a,b,c&port=1,2",
        "postgresql://u:hunter2@h/d?target_session_attrs=writable",
        "postgresql://u:hunter2@h/d?sslrootcert=system&sslmode=require",
        "postgresql://u:hunter2@h/d?sslpassword=hunter2",
        "postgresql://u:hunter2@h/d?sslkey=/no/such/file",
        "postgresql://u:hunter2@h/d?passfile=/no/such/file",
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
    with pytest.raises(DatabaseUrlError, match=r"DATABASE_URL: sslrootcert: .*root\.pem holds no certificate"):
        parse_database_url(f"postgresql://h/d?sslmode=verify-ca&sslrootcert={tmp_path / 'root.pem'}")


LIBPQ = re.findall(
    r"\w+",
    """host hostaddr port dbname user password passfile require_auth channel_binding connect_timeout client_encoding
    options application_name fallback_application_name keepalives keepalives_idle keepalives_interval keepalives_count
    tcp_user_timeout replication gssencmode sslmode requiressl sslnegotiation sslcompression sslcert sslkey sslpassword
    sslcertmode sslrootcert sslcrl sslcrldir sslsni requirepeer ssl_min_protocol_version ssl_max_protocol_version
    krbsrvname gsslib gssdelegation service servicefile target_session_attrs load_balance_hosts scram_client_key
    scram_server_key min_protocol_version max_protocol_version oauth_issuer oauth_client_id oauth_client_secret
    oauth_scope sslkeylogfile""",
)
"""https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-PARAMKEYWORDS"""
PRISMA = re.findall(
    r"\w+",
    """schema connection_limit pool_timeout pgbouncer sslaccept sslidentity direct socket_timeout statement_cache_size
    max_idle_connection_lifetime""",
)
"""https://www.prisma.io/docs/orm/overview/databases/postgresql#arguments"""


def examples(pem: Path, key: Path) -> dict[str, str]:
    """A value for each parameter that is honoured, with what else it needs."""
    return {
        "schema": "public",
        "connection_limit": "7",
        "pool_timeout": "7",
        "pgbouncer": "true",
        "sslaccept": "strict",
        "host": "other",
        "port": "7",
        "dbname": "other",
        "user": "other",
        "password": "other",
        "passfile": str(pem),
        "connect_timeout": "7",
        "options": "-cgeqo=off",
        "application_name": "other",
        "fallback_application_name": "other",
        "target_session_attrs": "read-write",
        "load_balance_hosts": "random",
        "krbsrvname": "other",
        "gsslib": "gssapi",
        "sslmode": "require",
        "sslrootcert": f"{pem}&sslmode=require",
        "sslcert": f"{pem}&sslkey={key}",
        "sslkey": f"{key}&sslcert={pem}",
        "sslpassword": f"open&sslkey={key}&sslcert={pem}",
        "sslcrl": f"{pem}&sslmode=require",
        "ssl_min_protocol_version": "TLSv1.3",
        "ssl_max_protocol_version": "TLSv1.2",
    }


@pytest.mark.parametrize("parameter", [*LIBPQ, *PRISMA])
def test_each_parameter_has_an_effect_or_is_refused_by_its_name(parameter: str, authority: Authority) -> None:
    """None is dropped in silence, but those of Prisma's own engine."""
    given = examples(*authority.client)
    assert given.keys() == HONOURED
    plain = parse_database_url("postgresql://u@h/d")
    if parameter in PRISMAS_OWN:
        assert parse_database_url(f"postgresql://u@h/d?{parameter}=1") == plain
    elif parameter in HONOURED:
        url = parse_database_url(f"postgresql://u@h/d?{parameter}={given[parameter]}")
        without = "" if parameter in {"sslcert", "sslkey"} else given[parameter].partition("&")[2]
        assert parameter == "schema" or url != parse_database_url(f"postgresql://u@h/d?{without}")
    else:
        with pytest.raises(DatabaseUrlError, match=rf"^DATABASE_URL: (the parameter )?{parameter} "):
            parse_database_url(f"postgresql://u@h/d?{parameter}=something")
    for value in NO_OTHER_VALUE.get(parameter, (frozenset[str](), ""))[0]:
        assert parse_database_url(f"postgresql://u@h/d?{parameter}={value}") == plain


@pytest.mark.parametrize("weak", ["", "&sslmode=prefer", "&sslmode=disable"])
def test_authorities_that_nobody_would_ask_are_refused(weak: str, authority: Authority) -> None:
    with pytest.raises(DatabaseUrlError, match="sslrootcert has no effect with sslmode="):
        parse_database_url(f"postgresql://h/d?sslrootcert={authority.root}{weak}")


def test_prismas_certificate_of_the_server_is_libpqs_root(authority: Authority) -> None:
    url = parse_database_url(f"postgresql://h/d?sslcert={authority.root}&sslaccept=strict")
    assert (url.tls.mode, url.tls.root, url.tls.certificate) == ("verify-full", str(authority.root), None)


@pytest.mark.parametrize(
    ("hosts", "attrs", "wanted"),
    [
        ("a", "", None),
        ("a", "?target_session_attrs=any", "any"),
        ("a,b", "", "read-write"),
        ("a,b", "?target_session_attrs=any", "any"),
        ("a,b", "?target_session_attrs=primary", "primary"),
    ],
)
def test_of_several_hosts_the_one_that_can_be_written_to_is_wanted(hosts: str, attrs: str, wanted: str | None) -> None:
    assert primary_of(f"postgresql://{hosts}/d{attrs}", "DATABASE_URL").target_session_attrs == wanted


@pytest.mark.parametrize("attrs", ["read-only", "standby", "prefer-standby"])
def test_the_daemon_itself_cannot_live_on_a_standby(attrs: str) -> None:
    with pytest.raises(DatabaseUrlError, match=rf"^DIRECT_URL: target_session_attrs={attrs} .*DATABASE_REPLICA_URL"):
        primary_of(f"postgresql://a,b/d?target_session_attrs={attrs}", "DIRECT_URL")


async def test_options_reach_the_server_and_do_not_beat_the_daemons_own(database_url: str) -> None:
    options = quote("-c geqo=off -c statement_timeout=0 -c timezone=America/Sao_Paulo")
    connection = await Database(parse_database_url(f"{database_url}&options={options}")).connect()
    shown = [await connection.fetchval(f"SHOW {name}") for name in ("geqo", "statement_timeout", "timezone")]
    assert shown == ["off", "10s", "UTC"]
    await connection.close()


async def test_the_password_is_taken_from_the_passfile(
    server: TestServer, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests' server trusts everybody, so what asyncpg would send is looked at."""
    file = tmp_path / "pass"
    file.write_text("*:*:*:ana:hunter2\n")
    file.chmod(0o600)
    sent: list[str | None] = []
    original = connect_utils._connect_addr

    async def noting(*, params: Any, **rest: Any) -> Any:
        sent.append(params.password)
        return await original(params=params, **rest)

    monkeypatch.setattr(connect_utils, "_connect_addr", noting)
    url = database_url.replace("//postgres@", "//ana@") + f"&passfile={file}"
    with pytest.raises(asyncpg.PostgresError):
        await Database(parse_database_url(url)).connect()
    assert sent == ["hunter2"]
