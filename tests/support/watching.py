"""Sees from inside the database under which settings each transaction writes."""

from typing import NamedTuple

from tests.support.databases import TestServer

SETTINGS = (
    "timezone",
    "synchronous_commit",
    "lock_timeout",
    "statement_timeout",
    "idle_in_transaction_session_timeout",
)
HOSTILE = {
    "timezone": "America/Sao_Paulo",
    "synchronous_commit": "off",
    "default_transaction_isolation": "serializable",
    "lock_timeout": "0",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
"""What a database can be set to that would break a promise of ours, were it not overruled."""

_SCHEMA = f"""
CREATE SCHEMA watching;
CREATE TABLE watching.seen (place text, isolation text, {", ".join(f"{name} text" for name in SETTINGS)});
CREATE FUNCTION watching.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO watching.seen VALUES (TG_TABLE_NAME, current_setting('transaction_isolation'),
        {", ".join(f"current_setting('{name}')" for name in SETTINGS)});
    RETURN NULL;
END
$$;
DO $$
DECLARE
    place regclass;
BEGIN
    FOR place IN SELECT oid FROM pg_class
                 WHERE relkind IN ('r', 'p') AND NOT relispartition
                     AND relnamespace IN ('public'::regnamespace, 'pedro_ledger'::regnamespace)
    LOOP
        EXECUTE format('CREATE TRIGGER watching AFTER INSERT OR UPDATE OR DELETE ON %s
                        FOR EACH STATEMENT EXECUTE FUNCTION watching.note()', place);
    END LOOP;
END
$$;
"""


class Seen(NamedTuple):
    """The settings of a transaction that wrote into `place`."""

    place: str
    isolation: str
    timezone: str
    synchronous_commit: str
    lock_timeout: str
    statement_timeout: str
    idle_in_transaction_session_timeout: str

    @property
    def is_ours(self) -> bool:
        """Whether it has everything that a transaction of ours has."""
        limits = (self.lock_timeout, self.statement_timeout, self.idle_in_transaction_session_timeout)
        return (
            (self.timezone, self.synchronous_commit) == ("UTC", "on")
            and self.isolation != "serializable"
            and "0" not in limits
        )


def name_of(url: str) -> str:
    """The database of a test server's URL."""
    return url.partition("@/")[2].partition("?")[0]


async def make_hostile(server: TestServer, url: str) -> None:
    """Set the database to what would break a promise. For sessions that begin later."""
    name = name_of(url)
    await server.execute(*(f"ALTER DATABASE {name} SET {setting} = '{value}'" for setting, value in HOSTILE.items()))


async def watch(server: TestServer, url: str) -> None:
    """Note from now on under which settings each table is written."""
    await server.execute(_SCHEMA, database=name_of(url))


async def seen(server: TestServer, url: str) -> list[Seen]:
    """Every transaction that wrote, once for each of its statements."""
    rows = await server.fetch("SELECT * FROM watching.seen", database=name_of(url))
    return [Seen(*row) for row in rows]
