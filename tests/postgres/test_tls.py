"""TLS as the URL says it, to a real server that takes nothing else: a pooler with certificates of
the tests' own.
"""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.failures import CONNECTION_FAILURES
from pedro_ledger.postgres.url import parse_database_url
from tests.support.certificates import Authority
from tests.support.databases import temporary_folder
from tests.support.pooler import pooler

NOT_CONNECTED = (asyncpg.PostgresError, *CONNECTION_FAILURES)


def lines(authority: Authority, client: str) -> str:
    certificate, key = authority.server
    return (
        f"client_tls_sslmode = {client}\nclient_tls_cert_file = {certificate}\nclient_tls_key_file = {key}\n"
        f"client_tls_ca_file = {authority.root}\n"
    )


@pytest.fixture
async def encrypted_url(database_url: str, authority: Authority) -> AsyncIterator[str]:
    """A server that takes no connection in the clear."""
    async with pooler(database_url, servers=2, more=lines(authority, "require")) as url:
        yield url


@pytest.fixture
async def mutual_url(database_url: str, authority: Authority) -> AsyncIterator[str]:
    """A server that takes no client without a certificate."""
    async with pooler(database_url, servers=2, more=lines(authority, "verify-full")) as url:
        yield url


async def connects(url: str, *options: str) -> bool:
    try:
        connection = await Database(parse_database_url("&".join([url, *options]))).connect()
    except NOT_CONNECTED:
        return False
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    return True


@pytest.mark.parametrize(
    ("mode", "is_connected"),
    [
        ("disable", False),
        ("allow", True),
        ("prefer", True),
        ("require", True),
        ("verify-ca", False),
        ("verify-full", False),
    ],
)
async def test_without_a_file_nobody_vouches_for_the_tests_server(
    encrypted_url: str, mode: str, is_connected: bool
) -> None:
    assert await connects(encrypted_url, f"sslmode={mode}") is is_connected


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_the_root_is_asked_also_where_encryption_alone_was(
    encrypted_url: str, authority: Authority, mode: str
) -> None:
    assert await connects(encrypted_url, f"sslmode={mode}", f"sslrootcert={authority.root}")
    with temporary_folder() as folder:
        other = Authority(folder)
        assert not await connects(encrypted_url, f"sslmode={mode}", f"sslrootcert={other.root}")


async def test_prismas_words_for_it(encrypted_url: str, authority: Authority) -> None:
    assert await connects(encrypted_url, "sslaccept=strict", f"sslcert={authority.root}")
    assert not await connects(encrypted_url, "sslaccept=strict")


@pytest.mark.parametrize(("mode", "is_connected"), [("verify-ca", True), ("verify-full", False)])
async def test_the_name_is_compared_where_that_is_asked(database_url: str, mode: str, is_connected: bool) -> None:
    with temporary_folder() as folder:
        elsewhere = Authority(folder, address="127.0.0.2")
        async with pooler(database_url, servers=2, more=lines(elsewhere, "require")) as url:
            assert await connects(url, f"sslmode={mode}", f"sslrootcert={elsewhere.root}") is is_connected


async def test_the_machines_own_authorities(
    encrypted_url: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))
    for options in (["sslrootcert=system"], ["sslmode=verify-full"], ["sslaccept=strict"]):
        assert await connects(encrypted_url, *options), options


@pytest.mark.parametrize("trust", ["file", "system"])
async def test_the_client_shows_its_certificate(
    mutual_url: str, authority: Authority, monkeypatch: pytest.MonkeyPatch, trust: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))
    root = "sslrootcert=system" if trust == "system" else f"sslmode=verify-full&sslrootcert={authority.root}"
    assert not await connects(mutual_url, root)
    certificate, key = authority.client
    assert await connects(mutual_url, root, f"sslcert={certificate}", f"sslkey={key}")
    certificate, key = authority.sign("app", None, password="open sesame")
    assert await connects(mutual_url, root, f"sslcert={certificate}", f"sslkey={key}", "sslpassword=open%20sesame")


@pytest.mark.parametrize("mode", ["prefer", "require"])
async def test_the_client_shows_its_certificate_also_to_a_server_that_it_does_not_check(
    mutual_url: str, authority: Authority, mode: str
) -> None:
    certificate, key = authority.client
    assert await connects(mutual_url, f"sslmode={mode}", f"sslcert={certificate}", f"sslkey={key}")


@pytest.mark.parametrize("trust", ["file", "system"])
async def test_a_certificate_that_was_revoked_is_not_trusted(
    encrypted_url: str, authority: Authority, monkeypatch: pytest.MonkeyPatch, trust: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))
    root = "sslrootcert=system" if trust == "system" else f"sslmode=verify-full&sslrootcert={authority.root}"
    others = authority.revoke(authority.client[0])
    assert await connects(encrypted_url, root, f"sslcrl={others}")
    revoked = authority.revoke(authority.server[0])
    assert not await connects(encrypted_url, root, f"sslcrl={revoked}")


async def test_the_versions_of_the_protocol_are_kept_to(database_url: str, authority: Authority) -> None:
    more = lines(authority, "require") + "client_tls_protocols = tlsv1.2\n"
    async with pooler(database_url, servers=2, more=more) as url:
        for root in ("sslmode=require", f"sslmode=verify-full&sslrootcert={authority.root}"):
            assert await connects(url, root, "ssl_max_protocol_version=TLSv1.2")
            assert not await connects(url, root, "ssl_min_protocol_version=TLSv1.3")
