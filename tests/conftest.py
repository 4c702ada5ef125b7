"""Fixtures that every test may use."""

import logging
import os
from collections.abc import AsyncIterator, Generator, Iterator

import pytest
import structlog

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.settings import Settings
from tests.support.certificates import Authority
from tests.support.client import API_KEY, Api
from tests.support.databases import TestServer, running_server, temporary_folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where everything is installed (continuous integration says so), a skipped test is a failed
    one.

    Here, not in `pytest_runtest_logreport`: by then the session has counted its failures.
    """
    report = yield
    if report.skipped and os.environ.get("PEDRO_TEST_NO_SKIP") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"PEDRO_TEST_NO_SKIP is set, and {item.nodeid} was skipped: {report.longrepr}"
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two for each core, since most tests wait for other processes half of the time; each runs a
    server of its own.
    """
    return min(2 * (os.cpu_count() or 1), 8)


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Undo what a test configured: its captured standard error is closed when the next test
    logs.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def bare_server() -> Iterator[TestServer]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
async def server(bare_server: TestServer) -> TestServer:
    await bare_server.make_templates()
    return bare_server


@pytest.fixture
async def database_url(server: TestServer) -> AsyncIterator[str]:
    """A migrated database of the test's own."""
    name = await server.clone("ledger_template")
    yield server.url(name)
    await server.drop(name)


@pytest.fixture
async def prisma_database_url(server: TestServer) -> AsyncIterator[str]:
    """A database as the app made it, of the test's own."""
    name = await server.clone("prisma_template")
    yield server.url(name)
    await server.drop(name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(parse_database_url(database_url))
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    """A connection as any other program has one: nothing of the daemon's is set on it."""
    connection = await database.connect()
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
def authority() -> Iterator[Authority]:
    """Signs certificates that nobody else trusts."""
    with temporary_folder() as folder:
        yield Authority(folder)


def settings_for(database_url: str, **changes: object) -> Settings:
    given = {
        "DATABASE_URL": database_url,
        "api_key": API_KEY,
        "port": 0,
        "allow_owner": True,
        "prices_refresh_s": 0.05,
        "keys_refresh_s": 0.05,
        **changes,
    }
    return Settings(**given)  # type: ignore[arg-type]


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    """A daemon on a database of the test's own, and a client to speak to it over HTTP."""
    async with Daemon(settings_for(database_url)).started() as running, Api.open(running) as api:
        yield api
