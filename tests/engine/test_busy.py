"""A user of whom somebody has locked a row is deferred; in doubt or not, nobody else waits behind
that user.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from pedro_ledger.engine.actor import Phase
from pedro_ledger.engine.busy import PAUSE_FIRST_S, PAUSE_LONGEST_S
from pedro_ledger.engine.engine import Engine
from pedro_ledger.ledger.errors import NotCommitted, OutcomeUnknown, Unavailable
from pedro_ledger.ledger.operations import Grant
from pedro_ledger.ledger.units import APPLIED, BUSY, Outcome, Stale
from pedro_ledger.telemetry.metrics import Metrics
from tests.engine.fakes import AnyUnit, Store, account, deduct, engine_on, limits
from tests.system.simulation import virtual_time


class LockingStore(Store):
    """Users in `locked` are answered as a locked balance is, those in `locked_accounts` as a locked
    account is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.locked_accounts: set[str] = set()

    async def commit(self, units: Sequence[AnyUnit]) -> list[Outcome]:
        self.script.insert(0, self.answer)
        return await super().commit(units)

    def answer(self, units: Sequence[AnyUnit]) -> list[Outcome]:
        if locked := self.locked_accounts.intersection(unit.user_id for unit in units):
            failure = NotCommitted("LockNotAvailableError (55P03)", poisoned=False)
            failure.locked_users = frozenset(locked)
            raise failure
        return [BUSY if unit.user_id in self.locked else APPLIED for unit in units]

    async def find_locked(self, user_ids: Sequence[str]) -> frozenset[str]:
        self.probes.append(list(user_ids))
        await asyncio.sleep(0)
        return frozenset((self.locked | self.locked_accounts).intersection(user_ids))


def users(batch: Sequence[AnyUnit]) -> list[str]:
    return [unit.user_id for unit in batch]


async def until_busy(engine: Engine, count: int = 1) -> None:
    while len(engine.committer.busy) < count:
        await asyncio.sleep(0)


async def test_who_is_busy_is_deferred_and_goes_on_when_the_row_is_free() -> None:
    store = LockingStore()
    store.locked = {"u"}
    async with engine_on(store) as engine:
        waiting = [engine.submit("u", deduct("1"))]
        assert (await engine.submit("v", deduct("1"))).receipt is not None
        await until_busy(engine)
        waiting += [engine.submit("u", deduct(key)) for key in ("2", "3")]
        for number in range(20):
            assert (await engine.submit("v", deduct(f"more {number}"))).receipt is not None
        assert sum("u" in users(batch) for batch in store.batches) == 1, "it joins nobody's batch meanwhile"
        assert not any(future.done() for future in waiting)
        store.locked.clear()
        answers = [await future for future in waiting]
        assert [answer.receipt.seq for answer in answers if answer.receipt] == [2, 3, 4], "in their order"
        assert len(engine.committer.busy) == 0
    assert engine._meter.registry.get_sample_value("pedro_ledger_busy_units_total") == 1  # type: ignore[attr-defined]


async def test_a_locked_account_costs_its_neighbours_no_second_wait() -> None:
    store = LockingStore()
    store.locked_accounts = {"u", "w"}
    async with engine_on(store) as engine:
        futures = {name: engine.submit(name, deduct("1")) for name in ("u", "v", "w", "x")}
        assert [(await futures[name]).receipt is not None for name in ("v", "x")] == [True, True]
        assert [users(batch) for batch in store.batches] == [["u", "v", "w", "x"], ["v", "x"]]
        store.locked_accounts.clear()
        assert [(await futures[name]).receipt is not None for name in ("u", "w")] == [True, True]


async def test_at_the_deadline_who_is_busy_is_told_that_nothing_was_applied() -> None:
    store = LockingStore()
    store.locked = {"u"}
    async with engine_on(store, operation_timeout_s=60) as engine:
        futures = [engine.submit("u", deduct("1")), engine.submit("u", Grant("2", "a", 5, "promo"))]
        await until_busy(engine)
        engine.sweeper.sweep(engine.loop.time() + 61)
        errors = [(await future).error for future in futures]
        assert [(error.code, error.facts) for error in errors if error] == [("busy", {"outcome": "not_applied"})] * 2
        assert all(isinstance(error, Unavailable) for error in errors), "who waits for the database waits for this, too"
        while engine.registry.active:
            await asyncio.sleep(0)
        assert len(engine.committer.busy) == 0, "who has nothing left to do goes to rest"
        store.locked.clear()
        assert (await engine.submit("u", deduct("1"))).receipt is not None


async def test_what_may_have_been_applied_is_not_called_busy() -> None:
    store = LockingStore()

    async def lost_once(units: Sequence[AnyUnit]) -> list[Outcome]:
        del store.commit  # type: ignore[method-assign]
        store.locked = {"u"}
        raise OutcomeUnknown("cut")

    store.commit = lost_once  # type: ignore[method-assign]
    store.settle_script = [lambda units: [Stale(account("u"))]]
    async with engine_on(store, operation_timeout_s=60) as engine:
        lost = engine.submit("u", deduct("1"))
        await until_busy(engine)
        never_sent = engine.submit("u", deduct("2"))
        engine.sweeper.sweep(engine.loop.time() + 61)
        told = [(await future).error for future in (lost, never_sent)]
        assert [(error.code, error.facts["outcome"]) for error in told if error] == [
            ("unavailable", "unknown"), ("busy", "not_applied"),
        ]  # fmt: skip


async def test_the_other_name_of_a_user_who_is_busy_waits_with_it() -> None:
    store = LockingStore()
    store.locked = {"u"}
    async with engine_on(store) as engine:
        futures = [engine.submit("u", deduct("1"))]
        await until_busy(engine)
        futures.append(engine.submit("clerk:u", deduct("2")))
        while len(store.loads) < 2 or engine.committer.busy.operations < 2:
            await asyncio.sleep(0)
        assert engine.registry._actors["clerk:u"].phase is Phase.BUSY
        store.locked.clear()
        assert [(await future).receipt.seq for future in futures] == [2, 3]  # type: ignore[union-attr]


async def test_while_nobody_can_be_asked_who_is_busy_stays_there() -> None:
    store = LockingStore()
    store.locked = {"u"}
    asked = 0

    async def away(user_ids: Sequence[str]) -> frozenset[str]:
        nonlocal asked
        asked += 1
        raise Unavailable("away")

    async with engine_on(store) as engine:
        store.find_locked = away  # type: ignore[method-assign]
        future = engine.submit("u", deduct("1"))
        while asked < 3:
            await asyncio.sleep(0.001)
        assert not future.done()
        del store.find_locked  # type: ignore[method-assign]
        store.locked.clear()
        assert (await future).receipt is not None


def test_pauses_double_to_a_bound_and_many_are_asked_for_at_once() -> None:
    async def story() -> tuple[list[float], int]:
        store = LockingStore()
        store.locked = {f"u{number}" for number in range(20)}
        loop = asyncio.get_running_loop()
        engine = Engine(store, store, Metrics(), lambda: 0, limits(), jitter=lambda: 0.5)
        engine.start()
        asked_at: list[float] = []
        find_locked = store.find_locked

        async def noting(user_ids: Sequence[str]) -> frozenset[str]:
            asked_at.append(loop.time())
            assert len(user_ids) == 20
            return await find_locked(user_ids)

        store.find_locked = noting  # type: ignore[method-assign]
        futures = [engine.submit(user, deduct("1")) for user in sorted(store.locked)]
        await asyncio.sleep(5)
        store.locked.clear()
        await asyncio.gather(*futures)
        assert await engine.drain(0)
        return asked_at, len(store.batches)

    asked_at, batches = virtual_time.run(story())
    pauses = [later - earlier for earlier, later in zip([0.0, *asked_at], asked_at, strict=False)]
    expected = [min(PAUSE_FIRST_S * 2**number, PAUSE_LONGEST_S) for number in range(len(pauses))]
    assert [round(pause, 6) for pause in pauses] == [round(pause, 6) for pause in expected]
    assert pauses[-1] == PAUSE_LONGEST_S
    assert batches == 2, "all were busy at once, and are committed at once"


async def test_operations_that_are_deferred_do_not_enlarge_the_batches_of_the_others() -> None:
    store = LockingStore()
    store.locked = {"u"}
    async with engine_on(store) as engine:
        futures = [engine.submit("u", deduct(str(number))) for number in range(500)]
        await until_busy(engine)
        assert (engine.in_flight, engine.committer.busy.operations) == (500, 500)
        room = engine.committer._operations_at_most()
        futures += [engine.submit(f"v{number}", deduct("1")) for number in range(100)]
        assert engine.committer._operations_at_most() - room <= 50
        store.locked.clear()
        await asyncio.gather(*futures)


async def test_a_unit_in_doubt_whose_account_is_locked_stops_neither_its_batch_nor_the_lane() -> None:
    store = Store()
    store.script = [lambda units: raise_unknown()]
    settled: list[list[str]] = []
    free = False

    def settle(units: Sequence[AnyUnit]) -> list[Outcome | None]:
        settled.append(users(units))
        store.settle_script.append(settle)
        return [APPLIED if free or unit.user_id != "u" else None for unit in units]

    store.settle_script = [settle]
    async with engine_on(store, operation_timeout_s=60) as engine:
        in_doubt, neighbour = engine.submit("u", deduct("1")), engine.submit("v", deduct("1"))
        assert (await neighbour).receipt is not None
        assert settled[0] == ["u", "v"]
        for number in range(3):
            assert (await engine.submit("w", deduct(str(number)))).receipt is not None, "the lane goes on"
        assert settled[1:] == [["u"]] * (len(settled) - 1)
        behind = engine.submit("u", deduct("2"))
        assert not in_doubt.done()
        assert not behind.done(), "a user has one unit under way, in doubt or not"
        free = True
        assert (await in_doubt).receipt is not None
        assert (await behind).receipt is not None
        assert [users(batch) for batch in store.batches].count(["u"]) == 1, "what was applied is not sent again"


async def test_at_the_deadline_who_is_in_doubt_is_told_so_whoever_holds_the_account() -> None:
    store = Store()
    store.script = [lambda units: raise_unknown()]
    free = False

    def settle(units: Sequence[AnyUnit]) -> list[Outcome | None]:
        store.settle_script.append(settle)
        return [Stale(account("u")) if free else None for _ in units]

    store.settle_script = [settle]
    async with engine_on(store, operation_timeout_s=60) as engine:
        future = engine.submit("u", deduct("1"))
        while not engine.committer.in_doubt._units:
            await asyncio.sleep(0.001)
        engine.sweeper.sweep(engine.loop.time() + 61)
        error = (await future).error
        assert error is not None
        assert error.facts == {"outcome": "unknown"}
        free = True
        assert (await engine.submit("u", deduct("2"))).receipt is not None


def raise_unknown() -> Any:
    raise OutcomeUnknown("cut")
