"""What other prices would have charged, against prices of the rules themselves."""

from typing import Any

import pytest

from tests.support.client import Api

MINI = {"uncachedInput": 250, "cachedInput": 25, "cacheWrite": 310, "output": 2000, "minimum": 1}
ANY = {"uncachedInput": 500, "output": 4000}
ALWAYS = {"from": "2020-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z"}
USES: list[dict[str, int]] = [
    {"uncachedInput": 8000, "output": 3000}, {"output": 1}, {}, {"cachedInput": 9000, "cacheWrite": 700},
    {"uncachedInput": 123_457, "cachedInput": 999_999, "cacheWrite": 31, "output": 76_543},
]  # fmt: skip


async def charge(api: Api, user: str) -> int:
    """Everything that is charged in one way or another. Returns the credits."""
    total = 0
    for model in ("gpt-5-mini", "other"):
        for tokens in USES:
            total += (await api.deduct(user, None, model=model, tokens=tokens)).json["credits"]
        hold = (await api.hold(user, 900, model=model)).json["entryId"]
        for no, tokens in enumerate(USES):
            body = {"tokens": tokens, "final": no == len(USES) - 1}
            total += (await api.post(f"/v1/holds/{hold}/capture", body, key=f"{model}-{no}")).json.get("credits", 0)
    total += (await api.deduct(user, None)).json["credits"]
    total += (await api.deduct(user, None)).json["credits"]
    return total


async def set_prices(api: Api, costs: dict[str, int], prices: dict[str, Any]) -> None:
    body = {"featureCosts": costs, "tokenPrices": prices}
    assert (await api.call("PATCH", "/v1/admin/settings", body)).status == 200


async def what_if(api: Api, **body: Any) -> dict[str, Any]:
    reply = await api.post("/v1/reports/what-if", ALWAYS | body)
    assert reply.status == 200, reply.body
    found: dict[str, Any] = reply.json
    return found


async def test_it_is_what_these_prices_charge(api: Api) -> None:
    """The same work at other prices, by another user, costs what the report said it would."""
    old, new = {"gpt-5-mini": MINI, "*": ANY}, {"gpt-5-mini": {**MINI, "output": 2750, "minimum": 4}, "*": MINI}
    await set_prices(api, {"AI_TEXT_CHAT": 3}, {"AI_TEXT_CHAT": old})
    first = await api.user(10_000)
    charged = await charge(api, first)
    await api.deduct(first, 77, operationType="SHORTS_SCRIPT")
    found = await what_if(api, featureCosts={"AI_TEXT_CHAT": 5}, tokenPrices={"AI_TEXT_CHAT": new})
    assert found["credits"] == charged + 77
    await set_prices(api, {"AI_TEXT_CHAT": 5}, {"AI_TEXT_CHAT": new})
    again = await charge(api, await api.user(10_000))
    assert found["creditsWouldBe"] == again + 77, "credits that the caller named stay"
    lines = {(each["operationType"], each["model"]): each for each in found["items"]}
    assert lines["AI_TEXT_CHAT", None] == {
        "userId": first, "operationType": "AI_TEXT_CHAT", "model": None, "operations": 2, "credits": 6, "creditsWouldBe": 10,
    }  # fmt: skip
    assert lines["AI_TEXT_CHAT", "gpt-5-mini"]["operations"] == len(USES) + 1, "a hold is one"
    assert (lines["SHORTS_SCRIPT", None]["credits"], lines["SHORTS_SCRIPT", None]["creditsWouldBe"]) == (77, 77)


async def test_without_other_prices_nothing_changes(api: Api) -> None:
    await set_prices(api, {"AI_TEXT_CHAT": 3}, {"AI_TEXT_CHAT": {"*": ANY}})
    user = await api.user(10_000)
    charged = await charge(api, user)
    for same in ({}, {"tokenPrices": {"AI_TEXT_CHAT": {"*": ANY}}, "featureCosts": {"AI_TEXT_CHAT": 3}}):
        found = await what_if(api, **same)
        assert (found["credits"], found["creditsWouldBe"]) == (charged, charged)
    short = await what_if(api, limit=1)
    assert (len(short["items"]), short["credits"]) == (1, charged), "the sums are of all lines"
    nothing = await what_if(api, **{"from": "2019-01-01T00:00:00Z", "to": "2020-01-01T00:00:00Z"})
    assert nothing == {"credits": 0, "creditsWouldBe": 0, "items": []}
    assert await api.balance(user) == 10_000 - charged, "nothing is booked"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"from": "yesterday"}, "from"), ({"to": "2026-02-30T00:00:00Z"}, "to"), ({"featureCosts": {"A": -1}}, "featureCosts.A"),
        ({"limit": 0}, "limit"), ({"tokenPrices": {"A": {"m": None}}}, "tokenPrices.A.m"),
    ],
)  # fmt: skip
async def test_what_it_does_not_take(api: Api, body: dict[str, Any], field: str) -> None:
    refused = await api.post("/v1/reports/what-if", ALWAYS | body)
    assert (refused.status, refused.json["field"]) == (422, field)
