"""Users of whom somebody else has locked a row: their actors are deferred, so that nobody else's
batch meets the lock.
"""

import asyncio
from collections.abc import Callable

from pedro_ledger.engine.actor import Phase, UserActor
from pedro_ledger.engine.ports import UnitStore
from pedro_ledger.ledger.errors import Unavailable

PAUSE_FIRST_S = 0.005
PAUSE_LONGEST_S = 0.5


class BusyActors:
    """Asks now and then, in one query for all that are due, whose rows are free again.

    Nothing of an actor is sent while it is deferred: whoever reaches a deadline meanwhile was
    certainly not applied.
    """

    def __init__(self, store: UnitStore, on_free: Callable[[UserActor], None], jitter: Callable[[], float]) -> None:
        self._store = store
        self._on_free = on_free
        self._jitter = jitter
        """From 0 to 1: replicas that wait for one lock do not ask in step."""
        self._loop = asyncio.get_running_loop()
        self._pauses_s: dict[UserActor, float] = {}
        self._due: list[UserActor] = []
        self._work = asyncio.Event()

    def __len__(self) -> int:
        return len(self._pauses_s)

    @property
    def operations(self) -> int:
        """How many operations wait with them."""
        return sum(actor.waiting for actor in self._pauses_s)

    def add(self, actor: UserActor) -> None:
        """Defer the actor, which has no unit under way."""
        actor.phase = Phase.BUSY
        self._pause(actor, PAUSE_FIRST_S)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self._work.wait()
            await self.probe_once()

    async def probe_once(self) -> None:
        """Ask for those that are due; who is free, or has nothing left to do, goes on."""
        self._work.clear()
        due, self._due = self._due, []
        asking = {actor: actor.user_id for actor in due if actor.has_work}
        locked = frozenset[str]()
        if asking:
            try:
                locked = await self._store.find_locked(list(asking.values()))
            except Unavailable:
                locked = frozenset(asking.values())
        for actor in due:
            pause_s = self._pauses_s.pop(actor)
            if asking.get(actor) in locked:
                self._pause(actor, min(2 * pause_s, PAUSE_LONGEST_S))
            else:
                self._on_free(actor)

    def _pause(self, actor: UserActor, pause_s: float) -> None:
        self._pauses_s[actor] = pause_s
        self._loop.call_later(pause_s * (0.5 + self._jitter()), self._become_due, actor)

    def _become_due(self, actor: UserActor) -> None:
        self._due.append(actor)
        self._work.set()
