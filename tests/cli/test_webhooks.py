"""`pedro-ledger webhooks`, as an operator runs it."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.processes import command
from tests.support.webhooks import SETTINGS, clerk, clerk_item, clerk_user


@pytest.fixture
async def set_aside(database_url: str) -> AsyncIterator[Api]:
    """A daemon; a delivery whose plan is not known, one whose user is not, one that cannot be read,
    one that is no JSON.
    """
    async with Daemon(settings_for(database_url, **SETTINGS)).started() as running, Api.open(running) as api:
        await clerk(api, clerk_user("created", "user_1"))
        await clerk(api, clerk_item("user_1"), "msg_plan")
        await clerk(api, clerk_item("user_2"), "msg_user")
        await clerk(api, {"type": "user.created", "data": {}}, "msg_odd")
        await clerk(api, b"{", "msg_garbled")
        yield api


async def told(url: str, *arguments: str) -> tuple[int, Any]:
    status, out, err = await command("webhooks", *arguments, "--json", DATABASE_URL=url)
    return status, orjson.loads(out) if out else err


async def test_what_waits_and_what_was_rejected_is_listed(set_aside: Api, database_url: str) -> None:
    status, everything = await told(database_url, "list")
    assert status == 0
    assert [(each["id"], each["state"], each["reason"]) for each in everything["deliveries"]] == [
        ("clerk:msg_garbled", "rejected", "unreadable"),
        ("clerk:msg_odd", "rejected", "unreadable"),
        ("clerk:msg_user", "waiting", "user_not_found"),
        ("clerk:msg_plan", "waiting", "plan_not_found"),
    ]
    (period,) = everything["periodsWithoutCredits"]
    assert (period["subscription"], period["reason"]) == ("csi_1", "plan_not_found")
    for state, count in (("waiting", 2), ("rejected", 2)):
        assert len((await told(database_url, "list", "--state", state))[1]["deliveries"]) == count
    status, out, _ = await command("webhooks", "list", DATABASE_URL=database_url)
    assert status == 0
    assert "clerk:msg_plan" in out
    assert "paid, without credits: 1" in out


async def test_what_is_named_is_tried_again(set_aside: Api, database_url: str, connection: Connection) -> None:
    assert (await told(database_url, "retry"))[0] == 2
    assert (await told(database_url, "retry", "clerk:msg_odd", "--all"))[0] == 2
    status, answer = await told(database_url, "retry", "clerk:msg_odd", "clerk:msg_garbled", "clerk:none")
    assert (status, answer) == (1, {"due": ["clerk:msg_odd"], "missing": ["clerk:msg_garbled", "clerk:none"]})
    await connection.execute(
        """INSERT INTO public."Plan" ("id", "clerkId", "name", "credits", "updatedAt") VALUES ('p', 'cplan_pro', 'Pro', 7, now())"""
    )
    status, answer = await told(database_url, "retry", "--all")
    assert status == 0
    assert "clerk:msg_user" in answer["due"]
    await set_aside.parts.webhooks.tick()
    assert await set_aside.balance((await set_aside.get("/v1/users/clerk:user_1")).json["id"]) == 107
