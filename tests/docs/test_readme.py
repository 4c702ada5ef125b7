"""The README's commands give the answers that it shows, and what it names is there."""

import asyncio
import re

import orjson

from tests.support.client import API_KEY
from tests.support.places import ROOT
from tests.support.processes import environment, served

README = (ROOT / "README.md").read_text()
VOLATILE = re.compile(r"01[0-9A-Z]{24}|\d{4}-\d\d-\d\dT[\d:.]+Z")


def transcript() -> list[tuple[str, str]]:
    """Each `$ command` of the console blocks that call the daemon, with the output below it."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            if "$URL" in command:
                found.append((command, output.strip()))
    return found


async def test_the_commands_answer_as_shown(database_url: str) -> None:
    entry = ""
    commands = transcript()
    assert len(commands) == 10
    async with served(DATABASE_URL=database_url) as daemon:
        for command, shown in commands:
            variables = environment(URL=daemon.address, KEY=API_KEY, ENTRY=entry)
            shell = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE, env=variables)
            out, _ = await shell.communicate()
            answer = out.decode().strip()
            assert VOLATILE.sub("~", answer) == VOLATILE.sub("~", shown), command
            last = orjson.loads(answer.splitlines()[-1])
            entry = last.get("entryId", entry)


def test_each_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"`((?:tests|config|pedro_ledger|sql)/[\w./-]+?)/?`", README))
    assert len(named) > 20
    root = ROOT
    assert {name for name in named if not (root / name).exists()} == set()


def test_each_link_leads_to_a_section() -> None:
    titles = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^## (.+)$", README, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= titles
