"""Who may write at once: one call of each subject, a share of all."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from pedro_ledger.ledger.errors import Busy, Unavailable
from pedro_ledger.postgres.write_gate import WriteGate
from tests.support.patience import PATIENCE_S


async def test_calls_about_one_subject_take_turns_and_hold_one_place() -> None:
    gate = WriteGate(2, wait_s=60)
    inside: list[int] = []
    most = 0

    async def call(no: int) -> None:
        nonlocal most
        async with gate.entered("ana"):
            inside.append(no)
            most = max(most, len(inside))
            await asyncio.sleep(0)
            inside.remove(no)

    async with gate.entered("bia"):
        await asyncio.gather(*(call(no) for no in range(20)))
    assert (most, len(gate)) == (1, 0)


async def test_who_waits_too_long_for_another_call_is_told_busy() -> None:
    gate = WriteGate(2, wait_s=0.01)
    async with gate.entered("ana"):
        with pytest.raises(Busy) as refused:
            async with gate.entered("ana"):
                pass
        assert refused.value.facts == {"outcome": "not_applied"}
        async with gate.entered("bia"):
            assert len(gate) == 2
    assert len(gate) == 0


async def test_more_than_the_share_are_not_let_in() -> None:
    gate = WriteGate(2, wait_s=0.01)
    async with AsyncExitStack() as stack:
        for subject in ("ana", "bia"):
            await stack.enter_async_context(gate.entered(subject))
        with pytest.raises(Unavailable) as refused:
            async with gate.entered("carla"):
                pass
        assert not isinstance(refused.value, Busy)
    async with gate.entered("carla"):
        pass


@pytest.mark.parametrize("held", ["ana", "bia"], ids=["at its turn", "at the share"])
async def test_a_caller_that_leaves_while_it_waits_leaves_nothing_behind(held: str) -> None:
    gate = WriteGate(1, wait_s=60)

    async def enter() -> None:
        async with gate.entered("ana"):
            pass

    async with gate.entered(held):
        waiting = asyncio.create_task(enter())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with gate.entered("ana"), asyncio.timeout(PATIENCE_S):
        pass
    assert len(gate) == 0


async def test_a_call_that_fails_gives_its_place_back() -> None:
    gate = WriteGate(1, wait_s=60)
    with pytest.raises(ValueError, match="mine"):
        async with gate.entered("ana"):
            raise ValueError("mine")
    await enter_all(gate)


async def enter_all(gate: WriteGate) -> None:
    for subject in ("ana", "bia"):
        async with asyncio.timeout(PATIENCE_S), gate.entered(subject):
            pass
