"""What the driver asks for one request, key by key, when the ledger refuses."""

from typing import Any, cast

import orjson
from yarl import URL

from pedro_ledger.tools.replay.accounts import ReplayUser
from pedro_ledger.tools.replay.client import Answer, DaemonClient
from pedro_ledger.tools.replay.driver import TRIES_MAX, Driver, ReplayCounts, ReplayRequest
from pedro_ledger.tools.replay.parallel import Stage
from pedro_ledger.tools.replay.trace import TraceLine

DEDUCT, GRANTS = URL("http://daemon/deduct"), URL("http://daemon/grants")


class Ledger:
    """Grants everything, and refuses the first `refusals` deducts, as when others spend what was
    granted.
    """

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.asked: list[tuple[str, str, int]] = []

    async def operate(self, url: URL, key: str, body: bytes) -> Answer:
        credits = orjson.loads(body)["credits"]
        self.asked.append((url.name, key, credits))
        if url == DEDUCT and self.refusals > 0:
            self.refusals -= 1
            return Answer(402, {"code": "insufficient_credits", "creditsRequired": credits}, replayed=False)
        seq = len(self.asked)
        receipt: dict[str, Any] = {"entryId": f"e{seq}", "seq": seq, "credits": credits, "creditsRemaining": 0}
        return Answer(201, receipt, replayed=False)


async def driven(ledger: Ledger, *, top_up: int) -> ReplayCounts:
    user = ReplayUser("replay-x-1")
    user.deduct_url, user.grants_url = DEDUCT, GRANTS
    tally = ReplayCounts()
    driver = Driver(cast("DaemonClient", ledger), tally, run_id="x", top_up=top_up, speed=0)
    await driver.run([ReplayRequest(TraceLine(7, 0.0, 1, 1), user, "T", 90)], concurrency=1, stage=Stage())
    return tally


async def test_each_try_and_each_top_up_has_a_key_of_its_own_that_follows_from_run_and_line() -> None:
    ledger = Ledger(refusals=2)
    tally = await driven(ledger, top_up=40)
    assert ledger.asked == [
        ("deduct", "replay-x-7", 90),
        ("grants", "replay-x-7-topup-1", 120),
        ("deduct", "replay-x-7-again-2", 90),
        ("grants", "replay-x-7-topup-2", 120),
        ("deduct", "replay-x-7-again-3", 90),
    ]
    assert (tally.accepted, tally.refused, tally.top_ups, tally.credits_topped_up) == (1, 0, 2, 240)


async def test_top_ups_for_one_request_have_an_end() -> None:
    ledger = Ledger(refusals=1000)
    tally = await driven(ledger, top_up=500)
    assert (tally.accepted, tally.refused, tally.top_ups) == (0, 1, TRIES_MAX - 1)


async def test_without_top_ups_a_refusal_is_the_end() -> None:
    ledger = Ledger(refusals=1)
    tally = await driven(ledger, top_up=0)
    assert (tally.accepted, tally.refused, len(ledger.asked)) == (0, 1, 1)
