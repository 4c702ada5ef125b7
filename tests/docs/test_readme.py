"""The README brings a stranger from `make run` to a deduct: its commands are run against what `make
run` starts.
"""

import re
import signal
from pathlib import Path

import pytest

from tests.docs.markdown import PAGES, commands_of
from tests.docs.shell import Shell, agrees
from tests.support.databases import temporary_folder
from tests.support.places import ROOT
from tests.support.processes import data_dir_of, environment, served

README = PAGES["README.md"]


@pytest.mark.embedded
async def test_a_stranger_gets_from_make_run_to_a_deduct(tmp_path: Path) -> None:
    started, *others = (block for block in README.blocks if block.language == "console")
    assert commands_of(started.text)[0].text == "make run"
    assert "exec $(BIN)/pedro-ledger serve\n" in (ROOT / "Makefile").read_text(), "what is started here"
    with temporary_folder() as folder:
        async with served(**data_dir_of(folder), PEDRO_API_KEY=None, at_terminal=True) as daemon:
            printed = "\n".join(daemon.printed).replace(str(folder), "/var/lib/pedro-ledger")
            assert agrees(commands_of(started.text)[0].shown, printed)
            key = (folder / "api-key").read_text().strip()
            variables = environment(URL=daemon.address, KEY=key)
            async with Shell.open(tmp_path, variables) as shell:
                await shell.follow(README.commands)
            assert len(README.commands) == sum(len(commands_of(block.text)) for block in others) >= 7
            assert await daemon.end(signal.SIGTERM) == 0


def test_the_readme_is_short() -> None:
    assert len(README.text.encode()) <= 8192


def test_every_word_of_the_glossary_is_used_in_the_documentation() -> None:
    words = re.findall(r"^\| ([a-z, ]+) \| ", README.text, re.MULTILINE)
    assert len(words) > 5
    text = "".join(page.text for name, page in PAGES.items() if name.startswith("docs/"))
    unused = [word for row in words if row != "word" for word in row.split(", ") if word not in text]
    assert unused == []
