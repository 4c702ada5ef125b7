"""The way between one replica and the database, and all that can go wrong on it."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from enum import Enum
from random import Random

from pedro_ledger.ledger.account import AccountQuery, Loaded
from pedro_ledger.ledger.errors import NotCommitted, OutcomeUnknown, Unavailable
from pedro_ledger.ledger.units import Outcome
from tests.system.simulation.world import AnyUnit, Broken, World


class Fault(Enum):
    """What may happen to one commit."""

    NONE = "none"
    REFUSED = "the database cannot be reached"
    CUT_BEFORE = "the connection breaks before COMMIT arrives"
    CUT_AFTER = "the connection breaks after COMMIT took effect"
    UNDER_WAY = "the connection breaks while the server works on; it finishes later, holding the row locks"
    IN_THE_NETWORK = "the connection breaks; COMMIT arrives later, without locks meanwhile"
    STALL = "the answer takes many seconds"


class Weather:
    """How often things go wrong. `clear` from the moment when the simulation wants everything to come to an end."""

    def __init__(self, random: Random) -> None:
        self.faults = random.choice((0.0, 0.1, 0.4, 0.8))
        self.kinds = random.sample(list(Fault)[1:], random.randint(1, len(Fault) - 1))
        self.latency_s = random.choice((0.0, 0.001, 0.05))

    def clear(self) -> None:
        """From now on nothing goes wrong."""
        self.faults = 0.0


class Link:
    """A replica's `AccountSource` and `UnitStore` over the world."""

    def __init__(self, world: World, random: Random, weather: Weather, injected: Counter[str]) -> None:
        self._world = world
        self._random = random
        self._weather = weather
        self._injected = injected
        self._in_the_network: set[asyncio.Task[None]] = set()
        self._under_way: set[asyncio.Task[None]] = set()

    async def load(self, wanted: Sequence[AccountQuery]) -> dict[str, Loaded]:
        await self._latency()
        if self._goes_wrong():
            self._injected["load fails"] += 1
            raise Unavailable("the database cannot be asked")
        loaded = self._world.read(wanted)
        await self._latency()
        return loaded

    async def commit(self, units: Sequence[AnyUnit]) -> list[Outcome]:
        fault = self._random.choice(self._weather.kinds) if self._goes_wrong() else Fault.NONE
        self._injected[fault.value] += 1
        await self._latency()
        if fault is Fault.REFUSED:
            raise NotCommitted(fault.value, poisoned=False)
        if fault is Fault.CUT_BEFORE:
            raise OutcomeUnknown(fault.value)
        if fault is Fault.IN_THE_NETWORK:
            self._later(units, self._in_the_network)
            raise OutcomeUnknown(fault.value)
        await self._locks()
        if fault is Fault.UNDER_WAY:
            self._later(units, self._under_way)
            raise OutcomeUnknown(fault.value)
        if fault is Fault.STALL:
            await asyncio.sleep(self._random.uniform(1, 25))
        outcomes = self._world.apply(units)
        await self._latency()
        if fault is Fault.CUT_AFTER:
            raise OutcomeUnknown(fault.value)
        return outcomes

    async def settle(self, units: Sequence[AnyUnit]) -> list[Outcome]:
        await self._latency()
        if self._goes_wrong():
            self._injected["settle fails"] += 1
            raise OutcomeUnknown("the database does not answer")
        await self._locks()
        outcomes = self._world.settle(units)
        await self._latency()
        return outcomes

    async def quiet(self) -> None:
        """Wait for what is still on its way to the world."""
        while waiting := self._in_the_network | self._under_way:
            await asyncio.wait(waiting)

    def _later(self, units: Sequence[AnyUnit], where: set[asyncio.Task[None]]) -> None:
        task = asyncio.get_running_loop().create_task(self._apply_late(units, self._random.uniform(0, 20)))
        where.add(task)
        task.add_done_callback(where.discard)

    async def _apply_late(self, units: Sequence[AnyUnit], delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        try:
            self._world.apply(units)
        except NotCommitted:
            self._injected["a late batch is refused"] += 1
        except Broken:
            pass  # the world remembers it

    async def _locks(self) -> None:
        """What the server still works on holds its rows."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _latency(self) -> None:
        await asyncio.sleep(self._random.uniform(0, self._weather.latency_s))

    def _goes_wrong(self) -> bool:
        return self._random.random() < self._weather.faults
