"""The app's own code, with a real Prisma client, against a database that the daemon serves."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.client import API_KEY, Api

HERE = Path(__file__).parent
README = HERE.parent.parent / "README.md"
SOURCES = ("package.json", "package-lock.json", ".npmrc", "prisma.config.ts", "schema.prisma", "tsconfig.json")
SHIPPED = {"PRISMA_SCHEMA_ENGINE_BINARY": "/bin/true", "PRISMA_HIDE_UPDATE_MESSAGE": "1", "CHECKPOINT_DISABLE": "1"}
"""For Prisma's command: it fetches no engine, which generating a client does not use, and asks nobody for news."""


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


@pytest.fixture(scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """A folder of the app's: its packages as locked, its schema, its client."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are missing; Prisma 7 needs node 20 or newer")
    if int((await ran(HERE, "node", "--version")).strip("v\n").split(".")[0]) < 20:
        pytest.skip("node is too old; Prisma 7 needs node 20 or newer")
    folder = tmp_path_factory.mktemp("app")
    for name in SOURCES:
        shutil.copy(HERE / name, folder / name)
    for file in HERE.glob("*.ts"):
        shutil.copy(file, folder / file.name)
    await ran(
        folder, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", npm_config_cache=str(folder / "cache")
    )
    await ran(folder, "npx", "--no-install", "prisma", "generate")
    yield folder
    shutil.rmtree(folder)


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


def test_the_readme_shows_the_deduct_that_is_run() -> None:
    (shown,) = re.findall(r"```typescript\n(.*?)```", README.read_text(), re.DOTALL)
    assert shown == (HERE / "deduct.ts").read_text()


def test_the_locked_packages_name_no_place_to_fetch_them_from() -> None:
    assert '"resolved"' not in (HERE / "package-lock.json").read_text()
