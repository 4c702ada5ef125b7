"""What a charge updates, it updates within its page (HOT): no index entry is written for it, also
where limits are counted and where credits are held.
"""

import asyncio
from collections.abc import Mapping

import pytest

from pedro_ledger.postgres.database import Connection
from tests.support.client import Api
from tests.support.patience import PATIENCE_S

CHARGES = 60
_COUNTS = """
SELECT relname, n_tup_upd AS updated, n_tup_hot_upd AS within_page FROM pg_stat_user_tables
WHERE relname IN ('account', 'CreditBalance') ORDER BY relname
"""


async def counted(connection: Connection, least: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Updates of each table, once the statistics have at least so many: backends report late."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = {name: (updated, within_page) for name, updated, within_page in await connection.fetch(_COUNTS)}
            if all(found[name][0] >= updates for name, updates in least.items()):
                return found
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("what", ["plain", "limited", "held"])
async def test_charges_write_no_index_entries(api: Api, connection: Connection, what: str) -> None:
    user = await api.user(1000)
    if what == "limited":
        limit = {"credits": 500, "window": "day"}
        assert (await api.call("PUT", f"/v1/users/{user}/limits/l", limit)).status == 200
    hold = (await api.hold(user, 200, expiresIn=3600)).json["entryId"] if what == "held" else ""
    before = await counted(connection, {"account": 1, "CreditBalance": 1})
    for _ in range(CHARGES):
        reply = await (api.capture(hold, 1, final=False) if hold else api.deduct(user, 1))
        assert reply.status == 201
    after = await counted(connection, {name: updated + CHARGES for name, (updated, _) in before.items()})
    for name, (updated, within_page) in after.items():
        beyond = (updated - before[name][0]) - (within_page - before[name][1])
        assert beyond <= 2, f"{name}: {beyond} updates beyond their page"
