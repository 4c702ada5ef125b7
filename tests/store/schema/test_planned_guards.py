"""The guards that `migrate --plan` tells of are those that the migrations make."""

from pedro_ledger.postgres.database import Connection
from pedro_ledger.store.schema.guards import list_guards
from pedro_ledger.store.schema.migrations import migration_files

MADE = """
    SELECT c.relname::text, t.tgname::text, p.proname LIKE 'refuse%'
    FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_proc AS p ON p.oid = t.tgfoid
    WHERE NOT t.tgisinternal AND c.relnamespace = 'public'::regnamespace
    ORDER BY c.relname COLLATE "C", t.tgname COLLATE "C"
"""


async def test_every_trigger_of_a_migrated_database_is_told_of(connection: Connection) -> None:
    told = list_guards(migration.text for migration in migration_files())
    made = [tuple(row) for row in await connection.fetch(MADE)]
    assert [(guard.table, guard.name, guard.refuses) for guard in told] == made
    assert all(guard.words and guard.events for guard in told)
    generic = [guard.name for guard in told if guard.words == "followed by the ledger"]
    assert generic == [], "say in guards.py what these do"
