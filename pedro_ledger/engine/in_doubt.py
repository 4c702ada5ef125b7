"""Units whose commit ended without an outcome while somebody has locked their accounts: asked for
until that can be told.
"""

import asyncio
from collections.abc import Callable, Iterable

from pedro_ledger.engine.actor import UserActor
from pedro_ledger.engine.ports import UnitStore
from pedro_ledger.engine.submission import Submission
from pedro_ledger.ledger.errors import OutcomeUnknown
from pedro_ledger.ledger.units import Outcome, Unit

ASK_FIRST_S = 0.02
ASK_LONGEST_S = 1.0


class InDoubtUnits:
    """Asks apart from the lanes, which go on with everybody else.

    Callers have their deadline, and are told "unknown".
    """

    def __init__(self, store: UnitStore, on_settled: Callable[[UserActor, Outcome], None]) -> None:
        self._store = store
        self._on_settled = on_settled
        self._units: dict[UserActor, Unit[Submission]] = {}
        self._work = asyncio.Event()

    def add(self, units: Iterable[tuple[UserActor, Unit[Submission]]]) -> None:
        """Find out what became of these, however long it takes."""
        self._units.update(units)
        self._work.set()

    async def run(self) -> None:
        """Ask until cancelled."""
        pause_s = ASK_FIRST_S
        while True:
            if not self._units:
                self._work.clear()
                await self._work.wait()
                pause_s = ASK_FIRST_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, ASK_LONGEST_S)
            await self.ask_once()

    async def ask_once(self) -> None:
        """One question about all of them."""
        asked = list(self._units.items())
        try:
            outcomes = await self._store.settle([unit for _, unit in asked])
        except OutcomeUnknown:
            return
        for (actor, _), outcome in zip(asked, outcomes, strict=True):
            if outcome is not None:
                del self._units[actor]
                self._on_settled(actor, outcome)
