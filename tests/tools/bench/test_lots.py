"""The users of the row that deducts from grants that end."""

import asyncio

import pytest

from pedro_ledger.tools.bench import lots
from pedro_ledger.tools.bench.loads import BenchError
from tests.support.client import API_KEY, Api


async def test_each_user_has_eight_grants_however_often_it_is_asked(api: Api) -> None:
    port = int(api.address.rsplit(":", 1)[1])
    users = [await api.user(100) for _ in range(70)]
    for _ in range(2):
        await asyncio.to_thread(lots.grant, port, API_KEY, users)
    for user in (users[0], users[-1]):
        found = (await api.get(f"/v1/users/{user}/grants")).json
        assert [grant["remaining"] for grant in found["items"]] == [lots.CREDITS] * lots.LOTS
        spent = (await api.deduct(user, 1)).json
        assert spent["lots"] == [{"seq": 2, "credits": -1}], "the first that ends"


async def test_a_grant_that_is_refused_stops_the_bench(api: Api) -> None:
    port = int(api.address.rsplit(":", 1)[1])
    with pytest.raises(BenchError, match="user_not_found"):
        await asyncio.to_thread(lots.grant, port, API_KEY, ["nobody"])
