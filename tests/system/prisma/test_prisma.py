"""The app's own code, with a real Prisma client, against a database that the daemon serves."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import orjson
import pytest

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.embedded import EmbeddedPostgres
from pedro_ledger.postgres.url import parse_database_url
from pedro_ledger.store.schema.migrations import migrate
from tests.conftest import settings_for
from tests.support.client import API_KEY, Api
from tests.support.databases import temporary_folder
from tests.support.places import ROOT
from tests.support.processes import command

HERE = Path(__file__).parent
PAGE = ROOT / "docs" / "adopting.md"
SOURCES = ("package.json", "package-lock.json", ".npmrc", "prisma.config.ts", "schema.prisma", "tsconfig.json")
SHIPPED = {
    "PRISMA_SCHEMA_ENGINE_BINARY": "/bin/true",
    "PRISMA_QUERY_ENGINE_LIBRARY": "/bin/true",
    "PRISMA_HIDE_UPDATE_MESSAGE": "1",
    "CHECKPOINT_DISABLE": "1",
}
"""For Prisma's command: it fetches no engine, which generating a client does not use, and asks
nobody for news.
"""


POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")
POSTGRESQL = '  provider = "postgresql"'


async def run(folder: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    """A program to its end, in `folder`: exit status, and everything that it printed."""
    process = await asyncio.create_subprocess_exec(
        *arguments, cwd=folder, env=os.environ | SHIPPED | variables,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def ran(folder: Path, *arguments: str, **variables: str) -> str:
    status, out = await run(folder, *arguments, **variables)
    assert status == 0, f"{' '.join(arguments)}\n{out}"
    return out


async def install(folder: Path) -> None:
    """The packages of a folder, as locked."""
    await ran(
        folder, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", npm_config_cache=str(folder / "cache")
    )


@pytest.fixture(scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """A folder of the app's: its packages as locked, its schema, its client.

    In `six`, Prisma 6 beside it.
    """
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are missing; Prisma 7 needs node 20 or newer")
    if int((await ran(HERE, "node", "--version")).strip("v\n").split(".")[0]) < 20:
        pytest.skip("node is too old; Prisma 7 needs node 20 or newer")
    folder = tmp_path_factory.mktemp("app")
    for name in SOURCES:
        shutil.copy(HERE / name, folder / name)
    for file in HERE.glob("*.ts"):
        shutil.copy(file, folder / file.name)
    shutil.copytree(HERE / "six", folder / "six")
    old = (HERE / "schema.prisma").read_text().replace(POSTGRESQL, f'{POSTGRESQL}\n  url      = "postgresql://unused"')
    (folder / "six" / "schema.prisma").write_text(old)
    await asyncio.gather(install(folder), install(folder / "six"))
    await ran(folder, "npx", "--no-install", "prisma", "generate")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.thorough
async def test_the_apps_own_calls_and_its_new_deduct_work(app: Path, api: Api, database_url: str) -> None:
    description = app / "openapi.json"
    description.write_bytes((await api.get("/openapi.json")).body)
    await ran(
        app,
        "npx",
        "--no-install",
        "openapi-typescript",
        description.name,
        "-o",
        "generated/api.d.ts",
        "--default-non-nullable=false",
    )
    await ran(app, "npx", "--no-install", "tsc", "--project", ".")
    variables = {"DATABASE_URL": database_url, "PEDRO_URL": api.address, "PEDRO_API_KEY": API_KEY}
    told = await ran(app, "node", "--import", "tsx", "--test", "--test-reporter=tap", "calls.ts", **variables)
    calls = (HERE / "calls.ts").read_text().count('\ntest("')
    assert f"# pass {calls}\n" in told


async def test_the_app_writes_as_before_while_the_ledger_is_out_of_use(app: Path, database_url: str) -> None:
    async with Daemon(settings_for(database_url)).started() as running, Api.open(running) as api:
        for clerk_id in ("ana", "bea"):
            user = (await api.post("/v1/users", {"clerkId": clerk_id})).json["id"]
            assert (await api.deduct(user, 30)).json["creditsRemaining"] == 70
    assert (await command("leave", DATABASE_URL=database_url))[0] == 0
    told = await ran(
        app, "node", "--import", "tsx", "--test", "--test-reporter=tap", "away.ts", DATABASE_URL=database_url
    )
    calls = (HERE / "away.ts").read_text().count('\ntest("')
    assert f"# pass {calls}\n" in told
    status, out, err = await command("migrate", "--json", DATABASE_URL=database_url)
    assert status == 0, err
    returned = orjson.loads(out)["returned"]
    assert returned | {"guards": 0} == {"guards": 0, "adjusted": 2, "credits": 405, "forgiven": 0, "uses": 2}
    status, out, err = await command("verify", DATABASE_URL=database_url)
    assert (status, "the books are in order" in out) == (0, True), out
    async with Daemon(settings_for(database_url)).started() as running, Api.open(running) as api:
        left = {name: await api.balance(f"clerk:{name}") for name in ("ana", "bea", "new")}
        assert left == {"ana": 45, "bea": 500, "new": 99}
    connection = await asyncpg.connect(database_url)
    plan = """SELECT p."name" FROM pedro_ledger.account AS a JOIN "User" AS u ON u."id" = a.user_id JOIN "Plan" AS p ON p."id" = a.plan_id
        WHERE u."clerkId" = 'bea'"""
    assert await connection.fetchval(plan) == "Pro"
    await connection.close()


@pytest.fixture
async def database_of_15() -> AsyncIterator[str]:
    """A migrated database on PostgreSQL 15: Prisma 6 cannot read the catalog of 18, not even of
    what it made itself.
    """
    if not (POSTGRES_15 / "postgres").exists():
        pytest.skip("PostgreSQL 15 is missing: apt-get install postgresql-15")
    with temporary_folder() as folder:
        server = EmbeddedPostgres(folder, bin_dir=POSTGRES_15, linger_s=0)
        await asyncio.to_thread(server.start)
        await migrate(Database(parse_database_url(server.url("postgres"))))
        yield server.url("postgres")
        await asyncio.to_thread(server.stop)


@pytest.mark.thorough
async def test_db_push_finds_nothing_to_change_in_a_migrated_database(app: Path, database_of_15: str) -> None:
    """By Prisma 6, the last whose schema engine is no program to download; its answer to a real
    difference is the control.
    """
    push = ("npx", "--no-install", "prisma", "db", "push", "--skip-generate")
    out = await ran(app / "six", *push, DATABASE_URL=database_of_15)
    assert "The database is already in sync with the Prisma schema." in out
    connection = await asyncpg.connect(database_of_15)
    await connection.execute('ALTER TABLE "User" ADD COLUMN extra integer')
    await connection.execute("""INSERT INTO "User" (id, "clerkId", "updatedAt", extra) VALUES ('u', 'c', now(), 1)""")
    await connection.close()
    status, out = await run(app / "six", *push, DATABASE_URL=database_of_15)
    assert status == 1
    assert "the column `extra` on the `User` table" in out


def test_the_documentation_shows_the_deduct_that_is_run() -> None:
    (shown,) = re.findall(r"```typescript\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert shown == (HERE / "deduct.ts").read_text()


def test_the_locked_packages_name_no_place_to_fetch_them_from() -> None:
    for file in (HERE / "package-lock.json", HERE / "six" / "package-lock.json"):
        assert '"resolved"' not in file.read_text()
