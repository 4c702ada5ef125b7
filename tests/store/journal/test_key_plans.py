"""Keys are looked up by user and key on the plan that is kept from a time when the tables were
empty.
"""

import re

import pytest

from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.postgres.sessions import HOT_SETTINGS


@pytest.mark.parametrize("name", ["commit_batch", "find_answers"])
@pytest.mark.parametrize("analyzed", [False, True], ids=["new", "analyzed while empty"])
async def test_a_key_is_not_looked_for_in_all_that_its_user_did(database: Database, name: str, analyzed: bool) -> None:
    sql = SqlFiles("journal")[name]
    parameters = len(set(re.findall(r"\$\d+", sql)))
    connection = await database.connect(HOT_SETTINGS)
    try:
        if analyzed:
            await connection.execute("ANALYZE")
        await connection.execute(f"PREPARE asked AS {sql}")
        rows = await connection.fetch(f"EXPLAIN EXECUTE asked ({', '.join(['NULL'] * parameters)})")
    finally:
        await connection.close()
    plan = "\n".join(row[0] for row in rows)
    for table in ("entry", "refusal"):
        reads = re.findall(rf"Scan (?:using (\w+) )?on {table}  \(.*\n\s+(.*)", plan)
        assert len(reads) == 1, plan
        index, condition = reads[0]
        assert index == {"entry": "entry_key_once", "refusal": "refusal_pkey"}[table], plan
        assert condition.startswith("Index Cond: ((user_id = "), plan
        assert "AND (idempotency_key = " in condition, plan
