"""Bytes in flight: what is counted, for whom, and how long; what a batch takes of them."""

import asyncio

import pytest

from pedro_ledger.engine.byte_budget import LARGE, PUBLIC, ByteBudget, large_bytes
from pedro_ledger.engine.engine import Engine
from pedro_ledger.ledger.errors import Overloaded
from pedro_ledger.ledger.operations import Deduct, Touch
from tests.engine.fakes import Store, deduct, engine_on

MIB = 1024**2


def large(key: str, size: int = MIB) -> Deduct:
    return Deduct(key, "test", "X", 1, "x" * size)


def refused(engine: Engine, user: str, operation: Deduct) -> str | None:
    """What limit refuses it; None where it is taken."""
    try:
        engine.submit(user, operation)
    except Overloaded as error:
        return str(error.facts["limit"])
    return None


def test_what_is_over_the_budget_is_refused_and_takes_nothing() -> None:
    counted: list[str] = []
    budget = ByteBudget(100, counted.append)
    first, second = budget.hold(None), budget.hold(None)
    first.grow_to(60)
    second.grow_to(40)
    with pytest.raises(Overloaded) as error:
        second.grow_to(41)
    assert (error.value.facts, counted) == ({"limit": "bytes"}, ["bytes"])
    assert (budget.in_use, second.size) == (100, 40)
    first.release()
    first.release()
    second.grow_to(41)
    second.release()
    assert budget.in_use == 0


def test_a_holder_has_a_quarter_and_leaves_nothing_behind() -> None:
    budget = ByteBudget(100)
    mine, more, other = budget.hold(PUBLIC), budget.hold(PUBLIC), budget.hold("u")
    mine.grow_to(20)
    with pytest.raises(Overloaded) as error:
        more.grow_to(6)
    assert error.value.facts == {"limit": "user_bytes"}
    other.grow_to(25)
    more.grow_to(5)
    for each in (mine, more, other):
        each.release()
    assert (budget.in_use, budget._by_holder) == (0, {})


def test_whoever_is_alone_is_let_in_whatever_the_size() -> None:
    budget = ByteBudget(100)
    alone = budget.hold("u")
    alone.grow_to(99)
    alone.grow_to(300)
    assert budget.in_use == 300
    with pytest.raises(Overloaded):
        budget.hold(None).grow_to(1)


def test_details_count_as_they_lie_in_memory() -> None:
    assert large_bytes(Touch("test")) == large_bytes(deduct("k")) == large_bytes(large("k", LARGE)) == 0
    assert LARGE < large_bytes(large("k", LARGE + 1)) < LARGE + 200
    assert large_bytes(Deduct("k", "test", "X", 1, "x" * 9_999 + "\U0001f600")) > 40_000


async def test_large_details_in_flight_are_bounded_for_a_user_and_for_all() -> None:
    store = Store()
    async with engine_on(store, bytes_in_flight_max=8 * MIB) as engine:
        store.gate.clear()
        assert refused(engine, "u", large("u0")) is None
        assert refused(engine, "u", large("u1")) == "user_bytes", "two with what Python adds are over a quarter"
        assert [refused(engine, f"v{number}", large("k")) for number in range(8)] == [None] * 6 + ["bytes"] * 2
        assert refused(engine, "u", deduct("small")) is None, "small ones are not counted"
        store.gate.set()
    assert engine.bytes.in_use == 0


async def test_the_bytes_of_a_request_of_many_are_counted_one_by_one() -> None:
    store = Store()
    async with engine_on(store, bytes_in_flight_max=8 * MIB) as engine:
        answers = await engine.submit_many([("u", large(str(number))) for number in range(3)])
    assert [answer.error and answer.error.facts for answer in answers] == [None] + [{"limit": "user_bytes"}] * 2
    assert engine.bytes.in_use == 0


async def test_what_no_mailbox_takes_gives_its_bytes_back() -> None:
    store = Store()
    async with engine_on(store, mailbox_size_max=1) as engine:
        store.gate.clear()
        engine.submit("u", deduct("0"))
        assert refused(engine, "u", large("1")) == "mailbox"
        assert engine.bytes.in_use == 0
        store.gate.set()


async def test_what_is_past_its_deadline_gives_its_bytes_back() -> None:
    store = Store()
    async with engine_on(store) as engine:
        store.gate.clear()
        late = engine.submit("u", large("k"))
        await store.begun.wait()
        engine.sweeper.sweep(engine.loop.time() + 1_000)
        assert (await late).error is not None
        assert engine.bytes.in_use == 0
        store.gate.set()


async def test_a_batch_is_full_with_so_many_bytes_and_an_actor_has_its_share() -> None:
    store = Store()
    async with engine_on(store, batch_bytes_max=4 * MIB) as engine:
        store.gate.clear()
        first = engine.submit("first", deduct("k"))
        await store.begun.wait()
        many = [engine.submit("u", large(f"u{number}")) for number in range(3)]
        many += [engine.submit(f"v{number}", large("k")) for number in range(5)]
        for _ in range(20):
            await asyncio.sleep(0)
        store.gate.set()
        await asyncio.gather(first, *many)
    sizes = [sum(large_bytes(each.operation) for unit in batch for each, _ in unit.decided) for batch in store.batches]
    units = [[unit.user_id for unit in batch] for batch in store.batches]
    assert max(sizes) < 4.1 * MIB
    assert len(units[1]) == 4, "u has put one operation into it, and three others theirs"


async def test_small_operations_do_not_wait_behind_large_ones() -> None:
    store = Store()
    async with engine_on(store, batch_bytes_max=4 * MIB) as engine:
        store.gate.clear()
        first = engine.submit("first", deduct("k"))
        await store.begun.wait()
        many = [engine.submit(f"large{number}", large("k")) for number in range(12)]
        many += [engine.submit(f"small{number}", deduct("k")) for number in range(12)]
        for _ in range(20):
            await asyncio.sleep(0)
        store.gate.set()
        await asyncio.gather(first, *many)
    users = [[unit.user_id for unit in batch] for batch in store.batches[1:]]
    assert users[0] == [f"large{number}" for number in range(4)] + [f"small{number}" for number in range(12)]
    assert users[1:] == [[f"large{number}" for number in range(start, start + 4)] for start in (4, 8)]


async def test_alone_a_user_fills_a_batch() -> None:
    store = Store()
    async with engine_on(store, batch_bytes_max=4 * MIB) as engine:
        await engine.submit_many([("u", large(str(number))) for number in range(8)])
    assert [len(batch[0].decided) for batch in store.batches] == [4, 4]
