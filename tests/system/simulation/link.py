"""The way between one replica and the database, and all that can go wrong on it."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from enum import Enum
from random import Random
from typing import Any

from pedro_ledger.ledger.account import AccountQuery, Loaded, Unadopted
from pedro_ledger.ledger.errors import (
    Busy,
    LedgerError,
    NotCommitted,
    NotServed,
    OutcomeUnknown,
    SchemaChanged,
    Unavailable,
)
from pedro_ledger.ledger.units import Outcome
from tests.system.simulation.world import AnyUnit, Broken, World

LOCK_TIMEOUT_S = 0.25
LOCK_POLLS = 5


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
    """How often things go wrong.

    `clear` from the moment when the simulation wants everything to come to an end.
    """

    def __init__(self, random: Random) -> None:
        self.faults = random.choice((0.0, 0.1, 0.4, 0.8))
        self.kinds = random.sample(list(Fault)[1:], random.randint(1, len(Fault) - 1))
        self.latency_s = random.choice((0.0, 0.001, 0.05))
        self.locks = random.choice((0, 0, 1, 3))
        """How many programs of the app's hold rows now and then."""

    def settle_down(self) -> None:
        """Nothing goes wrong but that rows are locked."""
        self.faults, self.latency_s, self.locks = 0.0, 0.001, 3

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
        self._late: set[asyncio.Task[None]] = set()

    async def load(self, wanted: Sequence[AccountQuery]) -> dict[str, Loaded | Unadopted]:
        await self._latency()
        if self._goes_wrong():
            self._injected["load fails"] += 1
            raise Unavailable("the database cannot be asked")
        loaded = self._world.read(wanted)
        await self._latency()
        return loaded

    async def adopt(self, users: Mapping[str, str]) -> dict[str, Loaded | Unadopted | LedgerError]:
        user_ids = list(dict.fromkeys(users.values()))
        await self._latency()
        locked = self._world.locks.balances.intersection(user_ids)
        if self._goes_wrong():
            what = self._random.choice(("fails", "is in one user's way", "is locked", "falls silent"))
            self._injected[f"adoption {what}"] += 1
            if what == "fails":
                raise Unavailable("the database cannot be asked")
            if what == "is in one user's way":
                raise NotServed(SchemaChanged("a column", outcome="not_applied"))
            if what == "is locked":
                locked |= {user for user in user_ids if self._random.random() < 0.5}
            else:
                await asyncio.sleep(self._random.uniform(1, 25))
        self._world.unadopted -= set(user_ids) - locked
        found = self._world.read([AccountQuery(ref, ()) for ref in users])
        await self._latency()
        return {
            ref: Busy("locked", outcome="not_applied") if isinstance(what, Unadopted) else what
            for ref, what in found.items()
        }

    async def commit(self, units: Sequence[AnyUnit]) -> list[Outcome]:
        fault = self._random.choice(self._weather.kinds) if self._goes_wrong() else Fault.NONE
        self._injected[fault.value] += 1
        await self._latency()
        if fault is Fault.REFUSED:
            raise NotCommitted(fault.value, poisoned=False)
        if fault is Fault.CUT_BEFORE:
            raise OutcomeUnknown(fault.value)
        if fault is Fault.IN_THE_NETWORK:
            self._later(self._apply_late(units))
            raise OutcomeUnknown(fault.value)
        await self._wait_for_accounts(units)
        if fault is Fault.UNDER_WAY:
            self._later(self._finish_later(units))
            raise OutcomeUnknown(fault.value)
        if fault is Fault.STALL:
            await asyncio.sleep(self._random.uniform(1, 25))
        outcomes = self._world.apply(units)
        await self._latency()
        if fault is Fault.CUT_AFTER:
            raise OutcomeUnknown(fault.value)
        return outcomes

    async def find_locked(self, user_ids: Sequence[str]) -> frozenset[str]:
        await self._latency()
        if self._goes_wrong():
            self._injected["asking after locks fails"] += 1
            raise Unavailable("the database cannot be asked")
        locks = self._world.locks
        return locks.locked_accounts(user_ids) | locks.balances.intersection(user_ids)

    async def settle(self, units: Sequence[AnyUnit]) -> list[Outcome | None]:
        await self._latency()
        if self._goes_wrong():
            self._injected["settle fails"] += 1
            raise OutcomeUnknown("the database does not answer")
        outcomes = self._world.settle(units)
        await self._latency()
        return outcomes

    async def quiet(self) -> None:
        """Wait for what is still on its way to the world."""
        while self._late:
            await asyncio.wait(self._late)

    def _later(self, arriving: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(arriving)
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _apply_late(self, units: Sequence[AnyUnit]) -> None:
        await asyncio.sleep(self._random.uniform(0, 20))
        try:
            await self._wait_for_accounts(units)
            self._world.apply(units)
        except NotCommitted:
            self._injected["a late batch is refused"] += 1
        except Broken:
            pass  # the world remembers it

    async def _finish_later(self, units: Sequence[AnyUnit]) -> None:
        """The server works on, and holds the accounts meanwhile."""
        users = Counter(unit.user_id for unit in units)
        self._world.locks.accounts.update(users)
        try:
            await asyncio.sleep(self._random.uniform(0, 20))
            self._world.apply(units)
        except NotCommitted:
            self._injected["a late batch is refused"] += 1
        except Broken:
            pass  # the world remembers it
        finally:
            self._world.locks.accounts.subtract(users)

    async def _wait_for_accounts(self, units: Sequence[AnyUnit]) -> None:
        """For as long as a commit waits for a lock.

        Raises `NotCommitted`, which tells whose accounts are locked then.
        """
        users = [unit.user_id for unit in units]
        for _ in range(LOCK_POLLS):
            if not self._world.locks.locked_accounts(users):
                return
            await asyncio.sleep(LOCK_TIMEOUT_S / LOCK_POLLS)
        locked = self._world.locks.locked_accounts(users)
        if locked:
            failure = NotCommitted("LockNotAvailableError (55P03)", poisoned=False)
            failure.locked_users = locked | self._world.locks.balances.intersection(users)
            raise failure

    async def _latency(self) -> None:
        await asyncio.sleep(self._random.uniform(0, self._weather.latency_s))

    def _goes_wrong(self) -> bool:
        return self._random.random() < self._weather.faults
