"""Replicas of two versions share a database while they are replaced: the older one meets what only
the newer one knows.
"""

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection
from tests.conftest import settings_for
from tests.support.client import Api

AS_NEWER = """
ALTER TABLE pedro_ledger.entry DROP CONSTRAINT entry_kind_known;
ALTER TABLE pedro_ledger.entry DISABLE TRIGGER entry_is_append_only;
UPDATE pedro_ledger.entry SET kind = 'gift', effects = '{effects}' WHERE id = '{entry}';
ALTER TABLE pedro_ledger.entry ENABLE TRIGGER entry_is_append_only;
"""
"""What a migration of a newer version allows, and an entry as its daemons write it."""


async def test_an_older_replica_serves_users_with_entries_of_a_kind_that_it_does_not_know(
    database_url: str, connection: Connection
) -> None:
    async with Daemon(settings_for(database_url)).started() as newer, Api.open(newer) as api:
        user, neighbour = await api.user(100), await api.user(100)
        made = await api.grant(user, 30, key="of the newer version")
        assert made.status == 201
        entry = made.json["entryId"]
        await connection.execute(AS_NEWER.format(entry=entry, effects='{"from":{"user":"x"}}'))
    async with Daemon(settings_for(database_url)).started() as older, Api.open(older) as api:
        again = await api.grant(user, 30, key="of the newer version")
        assert (again.status, again.json["entryId"], again.json["type"]) == (201, entry, "gift")
        assert again.headers["Idempotency-Replayed"] == "true"
        refused = await api.refund(user, entryId=entry)
        assert (refused.status, refused.code) == (409, "entry_not_refundable")
        assert (await api.capture(entry, 1)).code == "hold_not_found"
        assert (await api.deduct(user, 1)).status == 201
        assert (await api.deduct(neighbour, 1)).status == 201
        assert [each["type"] for each in await api.statement(user)] == ["grant", "gift", "deduct"]
        assert (await api.get(f"/v1/entries/{entry}")).json["type"] == "gift"
        assert await api.balance(user) == 129
        assert (await api.get(f"/v1/users/{user}/grants")).status == 200
        assert not older.parts.engine.crashed.done()
        assert (await api.get("/readyz", auth=None)).status == 200


async def test_an_entry_that_an_older_replica_cannot_read_concerns_the_operation_that_names_it(
    database_url: str, connection: Connection
) -> None:
    async with Daemon(settings_for(database_url)).started() as running, Api.open(running) as api:
        user, neighbour = await api.user(100), await api.user(100)
        entry = (await api.deduct(user, 30)).json["entryId"]
        await connection.execute(AS_NEWER.format(entry=entry, effects='{"lots":"elsewhere"}'))
        async with Daemon(settings_for(database_url)).started() as older, Api.open(older) as other:
            refused = await other.refund(user, entryId=entry)
            assert (refused.status, refused.json["outcome"]) == (503, "not_applied")
            assert (await other.deduct(user, 1)).status == 201
            assert (await other.deduct(neighbour, 1)).status == 201
            assert not older.parts.engine.crashed.done()
