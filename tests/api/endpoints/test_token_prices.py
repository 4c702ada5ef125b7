"""Token prices over HTTP: merged into the settings, found by plan and model, kept with entries."""

import asyncio

import pytest

from tests.support.client import Api, Reply

MINI = {"uncachedInput": 250, "cachedInput": 25, "cacheWrite": 310, "output": 2000, "minimum": 1}
ANY = {"uncachedInput": 500, "output": 4000}


async def patch(api: Api, **body: object) -> Reply:
    return await api.call("PATCH", "/v1/admin/settings", body)


async def test_a_chat_is_charged_by_its_tokens(api: Api) -> None:
    found = await patch(
        api, tokenPrices={"AI_TEXT_CHAT": {"gpt-5-mini": MINI, "*": ANY}}, featureCosts={"AI_TEXT_CHAT": 3}
    )
    assert found.json["featureCosts"] == {
        "AI_TEXT_CHAT": 3,
        "tokenPrices": {"AI_TEXT_CHAT": {"gpt-5-mini": MINI, "*": ANY}},
    }
    version = found.json["updatedAt"]
    user = await api.user(100)
    spent = await api.deduct(user, None, model="gpt-5-mini", tokens={"uncachedInput": 8000, "output": 3000})
    assert spent.json["credits"] == 8
    entry = (await api.get(f"/v1/entries/{spent.json['entryId']}")).json
    assert entry["price"] == f"settings@{version}#AI_TEXT_CHAT/gpt-5-mini"
    assert entry["model"] == "gpt-5-mini"
    assert entry["tokens"] == {"uncachedInput": 8000, "cachedInput": 0, "cacheWrite": 0, "output": 3000}
    assert (await api.deduct(user, None)).json["credits"] == 3, "without tokens it costs what the operation does"
    assert (await api.deduct(user, None, tokens={"output": 1000}, model="other")).json["credits"] == 4

    hold = await api.post(
        f"/v1/users/{user}/holds",
        {"operationType": "AI_TEXT_CHAT", "model": "gpt-5-mini", "tokens": {"output": 10_000}}, key="h",
    )  # fmt: skip
    assert hold.json["credits"] == 20
    charged = []
    for no in range(4):
        body = {"tokens": {"output": 300}, "final": no == 3}
        charged.append(
            (await api.post(f"/v1/holds/{hold.json['entryId']}/capture", body, key=f"c{no}")).json["credits"]
        )
    assert charged == [1, 1, 0, 1], "2400 millionths in all are 3 credits"
    assert (await api.balance(user)) == 100 - 8 - 3 - 4 - 3
    lines = [
        {
            "type": "deduct",
            "user": user,
            "idempotencyKey": "b1",
            "operationType": "AI_TEXT_CHAT",
            "tokens": {"output": 250},
        },
        {
            "type": "deduct",
            "user": user,
            "idempotencyKey": "b2",
            "operationType": "SHORTS_SCRIPT",
            "tokens": {"output": 1},
        },
    ]
    results = (await api.post("/v1/operations", {"operations": lines})).json["results"]
    assert results[0]["receipt"]["credits"] == 1
    assert results[1]["error"]["code"] == "no_price"


async def test_token_prices_merge_by_operation_type_and_model(api: Api) -> None:
    await patch(api, tokenPrices={"AI_TEXT_CHAT": {"a": MINI, "b": ANY}})
    await patch(api, tokenPrices={"AI_TEXT_CHAT": {"a": None, "c": ANY}, "SHORTS_SCRIPT": {"*": ANY}})
    merged = {"AI_TEXT_CHAT": {"b": ANY, "c": ANY}, "SHORTS_SCRIPT": {"*": ANY}}
    assert (await patch(api, featureCosts={"SHORTS_MEDIA": 1})).json["featureCosts"] == {
        "SHORTS_MEDIA": 1,
        "tokenPrices": merged,
    }
    before = (await patch(api, featureCosts={})).json
    assert before == (await patch(api, tokenPrices={})).json, "an empty one changes nothing"
    await asyncio.gather(*[patch(api, tokenPrices={"AI_TEXT_CHAT": {f"m{no}": ANY}}) for no in range(10)])
    models = (await api.get("/v1/admin/settings")).json["featureCosts"]["tokenPrices"]["AI_TEXT_CHAT"]
    assert set(models) == {"b", "c", *(f"m{no}" for no in range(10))}
    await patch(api, tokenPrices={"SHORTS_SCRIPT": None})
    gone = await patch(api, tokenPrices={"AI_TEXT_CHAT": dict.fromkeys(models)})
    assert gone.json["featureCosts"] == {"SHORTS_MEDIA": 1}


async def test_a_plan_names_prices_of_its_own(api: Api) -> None:
    await patch(api, tokenPrices={"AI_TEXT_CHAT": {"*": ANY}})
    plan = await api.post(
        "/v1/plans", {"name": "Pro", "credits": 5, "features": {"tokenPrices": {"AI_TEXT_CHAT": {"mini": MINI}}}}
    )
    user = await api.user(100)
    clerk = (await api.get(f"/v1/users/{user}")).json["clerkId"]
    event = {"clerkUserId": clerk, "status": "active", "eventType": "created", "planKey": plan.json["id"]}
    assert (await api.post("/v1/subscription-events", event)).status == 201
    tokens = {"output": 2000}
    assert (await api.deduct(user, None, model="mini", tokens=tokens)).json["credits"] == 4
    assert (await api.deduct(user, None, model="big", tokens=tokens)).json["credits"] == 8


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"credits": 1, "tokens": {"output": 1}}, "tokens"), ({"credits": 1, "model": "m"}, "model"),
        ({"tokens": {"output": -1}}, "tokens.output"), ({"tokens": {"reasoning": 1}}, "tokens.reasoning"),
        ({"tokens": {"output": 10**9 + 1}}, "tokens.output"), ({"tokens": {"output": 1.0}}, "tokens.output"),
    ],
)  # fmt: skip
async def test_what_is_not_priced(api: Api, body: dict[str, object], field: str) -> None:
    user = await api.user(100)
    refused = await api.post(f"/v1/users/{user}/deduct", {"operationType": "AI_TEXT_CHAT", **body}, key="d")
    assert (refused.status, refused.json["field"]) == (422, field)
    assert (await api.post(f"/v1/users/{user}/holds", {"operationType": "AI_TEXT_CHAT"}, key="h")).json[
        "field"
    ] == "credits"
    hold = (await api.hold(user, 5)).json["entryId"]
    for wrong in ({}, {"credits": 1, "tokens": {}}):
        assert (await api.post(f"/v1/holds/{hold}/capture", wrong, key="c")).status == 422


@pytest.mark.parametrize(
    "body",
    [
        {}, {"featureCosts": {"tokenPrices": 1}}, {"tokenPrices": {"A": {"m": {"output": 1}}}},
        {"tokenPrices": {"A": {"m": {**ANY, "output": -1}}}}, {"tokenPrices": {"A": {"m\0": ANY}}},
        {"tokenPrices": {"A": {"m": {**ANY, "reasoning": 1}}}}, {"tokenPrices": {"a b": {}}},
        {"tokenPrices": {"AI_TEXT_CHAR": {"m": ANY}}},
    ],
)  # fmt: skip
async def test_settings_that_are_no_prices(api: Api, body: dict[str, object]) -> None:
    assert (await patch(api, **body)).status == 422
