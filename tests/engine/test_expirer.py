"""Touching accounts on which something is due: those that are locked hold up no others."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from pedro_ledger.engine import expirer as module
from pedro_ledger.engine.expirer import IN_FLIGHT_MAX, PAGE_ACCOUNTS, Expirer
from pedro_ledger.engine.submission import Answer
from pedro_ledger.ledger.errors import Busy, Overloaded
from pedro_ledger.ledger.operations import Touch


class Page(NamedTuple):
    user_ids: Sequence[str]
    lag_s: float


class Ledger:
    """Accounts that are due, longest first; a touch of a locked one is answered when told to."""

    def __init__(self, due: Sequence[str], locked: Sequence[str] = ()) -> None:
        self.due = dict.fromkeys(due)
        self.locked = set(locked)
        self.touched: list[str] = []
        self.open: dict[str, asyncio.Future[Answer]] = {}
        self.is_overloaded = False
        self.lag_s = 0.0
        self.counted = 0
        self.holds = (0, 0, 0.0)

    @asynccontextmanager
    async def page(self, accounts_max: int) -> AsyncIterator[Page | None]:
        yield Page(list(self.due)[:accounts_max], 5.0 if self.due else 0.0)

    def submit(self, user_id: str, touch: Touch) -> asyncio.Future[Answer]:
        if self.is_overloaded:
            raise Overloaded("full")
        self.touched.append(user_id)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if user_id in self.locked:
            self.open[user_id] = future
        else:
            del self.due[user_id]
            future.set_result(Answer(None, None))
        return future

    def note_lag(self, lag_s: float) -> None:
        self.lag_s = lag_s

    async def count_holds(self) -> tuple[int, int, float]:
        self.counted += 1
        return 2, 30, 1.5

    def note_holds(self, holds: int, credits: int, oldest_s: float) -> None:
        self.holds = (holds, credits, oldest_s)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.02)


def expirer_on(ledger: Ledger) -> Expirer:
    return Expirer(ledger, ledger.submit, ledger.note_lag, ledger.note_holds)


async def test_a_locked_account_does_not_hold_up_the_tick_and_is_not_touched_twice_at_once() -> None:
    ledger = Ledger(["locked", "a", "b"], locked=["locked"])
    expirer = expirer_on(ledger)
    assert await expirer.tick() is None
    assert ledger.touched == ["locked", "a", "b"]
    ledger.due["c"] = None
    assert await expirer.tick() is None
    assert ledger.touched == ["locked", "a", "b", "c"]
    assert ledger.lag_s == 5.0, "it is still due"


async def test_an_account_that_stayed_locked_is_passed_over_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(["locked"], locked=["locked"])
    expirer = expirer_on(ledger)
    await expirer.tick()
    ledger.open["locked"].set_result(Answer(None, Busy("locked", outcome="not_applied")))
    await asyncio.sleep(0)
    await expirer.tick()
    assert ledger.touched == ["locked"]
    ledger.locked.clear()
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now + module.PASSED_OVER_S + 1)
    await expirer.tick()
    assert ledger.touched == ["locked", "locked"]
    assert not ledger.due


async def test_a_page_of_locked_accounts_leaves_the_next_page_its_turn() -> None:
    locked = [f"locked {number}" for number in range(IN_FLIGHT_MAX + 10)]
    ledger = Ledger([*locked, "a"], locked=locked)
    expirer = expirer_on(ledger)
    assert await expirer.tick() is None
    assert len(ledger.touched) == IN_FLIGHT_MAX
    while "a" in ledger.due:
        for future in ledger.open.values():
            if not future.done():
                future.set_result(Answer(None, Busy("locked", outcome="not_applied")))
        await asyncio.sleep(0)
        await expirer.tick()
    assert sorted(ledger.touched) == sorted([*locked, "a"]), "each once"


async def test_a_full_page_is_followed_by_the_next_at_once() -> None:
    ledger = Ledger([f"u{number}" for number in range(PAGE_ACCOUNTS + 1)])
    expirer = expirer_on(ledger)
    assert await expirer.tick() == 0.0
    assert len(ledger.touched) == PAGE_ACCOUNTS
    assert await expirer.tick() is None
    assert not ledger.due


async def test_where_too_much_is_in_flight_the_rest_is_left_for_later() -> None:
    ledger = Ledger(["a", "b"])
    ledger.is_overloaded = True
    expirer = expirer_on(ledger)
    assert await expirer.tick() is None
    ledger.is_overloaded = False
    assert await expirer.tick() is None
    assert ledger.touched == ["a", "b"]


async def test_open_holds_are_counted_now_and_then() -> None:
    ledger = Ledger([])
    expirer = expirer_on(ledger)
    for _ in range(2 * module.COUNT_HOLDS_EVERY):
        await expirer.tick()
    assert (ledger.counted, ledger.holds) == (2, (2, 30, 1.5))
