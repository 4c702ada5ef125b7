"""Each page's commands are run in its order, by a shell, and print what the page shows.

A page says in its first line what database it needs: `<!-- database: prisma -->` one as the app
made it, `adopted` the same after `migrate`; without such a line it gets an empty, migrated one.
Where its commands use `$URL`, a daemon serves it. `<!-- not run: why -->` stands before a block
that cannot be run here.
"""

import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from pedro_ledger.daemon.app import Daemon
from tests.conftest import settings_for
from tests.docs.markdown import PAGES, Page
from tests.docs.shell import Shell
from tests.support import prismamade
from tests.support.client import API_KEY
from tests.support.databases import TestServer, temporary_folder
from tests.support.places import ROOT
from tests.support.processes import command, environment

WITH_COMMANDS = [name for name, page in PAGES.items() if page.commands and name != "README.md"]
WEBHOOK_SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgZG9jcw=="
WEBHOOK_TOKEN = "the-token-of-the-docs"


@pytest.fixture
async def folder() -> AsyncIterator[Path]:
    """Where a page's reader stands: a folder with the checkout's `config`."""
    with temporary_folder() as folder:
        (folder / "config").symlink_to(ROOT / "config")
        yield folder


async def database_of(page: Page, server: TestServer, stack: AsyncExitStack) -> str:
    found = re.match(r"<!-- database: (prisma|adopted) -->", page.text)
    kind = found[1] if found else "ledger"
    name = await server.clone("ledger_template" if kind == "ledger" else "prisma_template")
    stack.push_async_callback(server.drop, name)
    if kind != "ledger":
        await fill_as_the_app_does(server.url(name))
    if kind == "adopted":
        assert (await command("migrate", DATABASE_URL=server.url(name)))[0] == 0
    return server.url(name)


async def fill_as_the_app_does(url: str) -> None:
    """Three users with some usage; one of them overdrawn."""
    connection = await asyncpg.connect(url)
    await prismamade.fill(connection, users=3, rows=30)
    for user, credits in (("user_1", 120), ("user_2", 40), ("user_3", -14)):
        await connection.execute(
            'UPDATE "CreditBalance" SET "creditsRemaining" = $2 WHERE "clerkUserId" = $1', user, credits
        )
    await connection.close()


@pytest.mark.embedded
@pytest.mark.parametrize("name", WITH_COMMANDS)
async def test_the_commands_print_what_the_page_shows(name: str, server: TestServer, folder: Path) -> None:
    page = PAGES[name]
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.execute, "DROP ROLE IF EXISTS pedro_app")
        url = await database_of(page, server, stack)
        variables = environment(
            DATABASE_URL=url,
            KEY=API_KEY,
            SECRET=WEBHOOK_SECRET,
            TOKEN=WEBHOOK_TOKEN,
            PEDRO_DATA_DIR=str(folder / "data"),
            PEDRO_LOG_LEVEL="error",  # a busy machine has slow queries, and a reader's has none
        )
        variables["PATH"] = f"{Path(sys.executable).parent}:{variables['PATH']}"
        if any("$URL" in command.text for command in page.commands):
            settings = settings_for(
                url, clerk_webhook_secrets=WEBHOOK_SECRET, asaas_webhook_tokens=WEBHOOK_TOKEN, data_dir=folder / "data"
            )
            running = await stack.enter_async_context(Daemon(settings).started())
            variables["URL"] = running.address
        shell = await stack.enter_async_context(Shell.open(folder, variables))
        await shell.follow(page.commands)


def test_nothing_that_a_reader_would_type_is_left_out() -> None:
    for page in PAGES.values():
        assert not re.search(r"^\s*```", page.prose, re.MULTILINE), (
            f"{page.name}: a block that is indented or not closed"
        )
        for block in page.blocks:
            assert block.language, f"{page.name}: a block says what language it is in"
            assert block.language not in {"bash", "shell"}, f"{page.name}: write console or sh, whose commands are run"
            if block.language not in {"console", "sh"}:
                assert not re.search(r"^\$ ", block.text, re.MULTILINE), f"{page.name}: a command in {block.language}"
