"""`pedro-ledger seed`, as an operator runs it."""

import asyncio
import re
import sys
from pathlib import Path

import orjson
import pytest

from pedro_ledger.cli.seed import SeedError, read
from pedro_ledger.postgres.database import Connection
from tests.support.places import ROOT
from tests.support.processes import command, environment

FILE = str(ROOT / "config" / "plans.toml")


async def test_a_second_time_changes_nothing_and_a_changed_row_is_brought_back(
    database_url: str, connection: Connection
) -> None:
    async def seed(*more: str) -> dict[str, object]:
        status, out, err = await command("seed", FILE, "--json", *more, DATABASE_URL=database_url)
        assert status == 0, err
        told: dict[str, object] = orjson.loads(out)
        return told

    async def rows() -> list[object]:
        plans = await connection.fetch('SELECT to_jsonb(plan)::text FROM "Plan" AS plan ORDER BY "sortOrder"')
        settings = await connection.fetch('SELECT "featureCosts"::text FROM "AdminSettings"')
        return [tuple(row) for row in (*plans, *settings)]

    planned = await seed("--dry-run")
    assert (planned["made"], await rows()) == (["Free", "Pro", "Studio"], [])
    assert await seed() == planned | {"dryRun": False}
    made = await rows()
    assert len(made) == 4
    nothing = {
        "dryRun": False, "made": [], "changed": {}, "unchanged": ["Free", "Pro", "Studio"], "featureCosts": {},
        "overwritten": {"plans": {}, "featureCosts": {}},
    }  # fmt: skip
    assert await seed() == nothing
    assert await rows() == made
    await connection.execute(
        """UPDATE "Plan" SET credits = 7, description = 'kept', "updatedAt" = now() WHERE name = 'Pro'"""
    )
    await connection.execute("""UPDATE "AdminSettings" SET "featureCosts" = '{"AI_TEXT_CHAT": 9, "OTHER": 3}'""")
    status, out, _ = await command("seed", FILE, "--dry-run", DATABASE_URL=database_url)
    assert status == 0
    assert "would be changed    plan Pro: credits 7 -> 2000" in out.splitlines()
    assert "would be set        AI_TEXT_CHAT = 1 (was 9)" in out.splitlines()
    again = await seed()
    assert again["changed"] == {"Pro": ["credits"]}
    assert again["overwritten"] == {"plans": {"Pro": {"credits": 7}}, "featureCosts": {"AI_TEXT_CHAT": 9}}
    assert await connection.fetchrow("""SELECT credits, description FROM "Plan" WHERE name = 'Pro'""") == (2000, "kept")
    costs = orjson.loads(await connection.fetchval('SELECT "featureCosts"::text FROM "AdminSettings"'))
    assert (costs["AI_TEXT_CHAT"], costs["SHORTS_MEDIA"], costs["OTHER"]) == (1, 20, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[plans]", "is not TOML"),
        ("[[plan]]\nname = 'x'", "plan is unknown"),
        ("[[plans]]\nname = 'x'", "credits: Field required"),
        ("[[plans]]\nname = 'x'\ncredits = 1.0", "credits"),
        ("[[plans]]\nname = 'x'\ncredits = 1\nsecret = 1", "secret"),
        ("[[plans]]\nname = 'x'\ncredits = 1\n[[plans]]\nname = 'x'\ncredits = 2", "two plans have the name x"),
        ("[featureCosts]\nA = -1", "featureCosts.A"),
        ("[[plans]]\nname = 'x'\ncredits = 1\nfeatures = { a = \"\\u0000\" }", "U+0000"),
    ],
)
def test_a_file_that_is_not_acceptable_is_refused_with_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "plans.toml").write_text(text)
    with pytest.raises(SeedError, match=re.escape(words)):
        read(tmp_path / "plans.toml")


async def test_a_file_that_is_missing_and_a_database_that_is_behind_are_told(prisma_database_url: str) -> None:
    status, _, err = await command("seed", "/nowhere.toml", DATABASE_URL=prisma_database_url)
    assert (status, err.count("\n")) == (2, 1)
    assert "Cannot read /nowhere.toml" in err
    status, _, err = await command("seed", FILE, DATABASE_URL=prisma_database_url)
    assert (status, "run pedro-ledger migrate first" in err) == (2, True)


async def test_without_a_file_the_packages_own_example_is_taken(database_url: str, tmp_path: Path) -> None:
    """The image and the wheel have no folder `config` where they are started."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pedro_ledger", "seed", "--dry-run", "--json",
        cwd=tmp_path, env=environment(DATABASE_URL=database_url), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert (process.returncode, orjson.loads(out)["made"]) == (0, ["Free", "Pro", "Studio"])
