"""A store of a few lines that does as it is told, for the engine's own rules; what meets PostgreSQL
is tested on PostgreSQL.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pedro_ledger.engine.engine import Engine, EngineLimits
from pedro_ledger.engine.sweeper import SWEEP_EVERY_S
from pedro_ledger.ledger.account import Account, AccountQuery, Loaded, Unadopted
from pedro_ledger.ledger.errors import LedgerError, Unavailable
from pedro_ledger.ledger.operations import Deduct
from pedro_ledger.ledger.units import APPLIED, Outcome, Unit
from pedro_ledger.settings import Settings
from pedro_ledger.telemetry.metrics import Metrics

AnyUnit = Unit[Any]


class Store:
    """Applies everything, unless `script` says otherwise for the next commit; keeps what it was
    given.
    """

    def __init__(self) -> None:
        self.batches: list[list[AnyUnit]] = []
        self.applied: list[list[AnyUnit]] = []
        self.settled: list[list[AnyUnit]] = []
        self.loads: list[list[str]] = []
        self.script: list[Callable[[Sequence[AnyUnit]], list[Outcome]]] = []
        self.settle_script: list[Callable[[Sequence[AnyUnit]], list[Outcome | None]]] = []
        self.load_script: list[Callable[[Sequence[AccountQuery]], None]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Event()
        """A commit has been asked for."""
        self.turns = 0
        """Turns of the loop that a commit takes."""
        self.locked: set[str] = set()
        """Users of whom somebody has locked a row."""
        self.probes: list[list[str]] = []
        self.owners: dict[str, str] = {}
        """Users by Clerk ref; where none is named, a user's Clerk id is its own id."""
        self.nobodies: set[str] = set()
        self.unadopted: set[str] = set()
        """Users without an account, until they are adopted."""
        self.adoptions: list[list[str]] = []
        self.adopt_script: list[Callable[[Sequence[str]], dict[str, LedgerError]]] = []
        self.accounts: dict[str, Account] = {}
        """As the units that were applied left them."""
        self.is_away = False

    async def load(self, wanted: Sequence[AccountQuery]) -> dict[str, Loaded | Unadopted]:
        self.loads.append([want.ref for want in wanted])
        await asyncio.sleep(0)
        if self.load_script:
            self.load_script.pop(0)(wanted)
        if self.is_away:
            raise Unavailable("away")
        return {
            want.ref: Unadopted(user)
            if (user := self._owner(want.ref)) in self.unadopted
            else Loaded(self._account(user), dict.fromkeys(want.original_seqs))
            for want in wanted
            if want.ref not in self.nobodies
        }

    async def adopt(self, users: Mapping[str, str]) -> dict[str, Loaded | Unadopted | LedgerError]:
        user_ids = list(dict.fromkeys(users.values()))
        self.adoptions.append(user_ids)
        await asyncio.sleep(0)
        left_out = self.adopt_script.pop(0)(user_ids) if self.adopt_script else {}
        self.unadopted -= set(user_ids) - set(left_out)
        return {ref: left_out.get(user) or Loaded(self._account(user), {}) for ref, user in users.items()}

    async def commit(self, units: Sequence[AnyUnit]) -> list[Outcome]:
        self.batches.append(list(units))
        self.begun.set()
        for _ in range(self.turns):
            await asyncio.sleep(0)
        await self.gate.wait()
        outcomes = self.script.pop(0)(units) if self.script else [APPLIED] * len(units)
        self.applied.append([unit for unit, each in zip(units, outcomes, strict=True) if each is APPLIED])
        self.accounts |= {
            unit.user_id: unit.after for unit, each in zip(units, outcomes, strict=True) if each is APPLIED
        }
        return outcomes

    async def find_locked(self, user_ids: Sequence[str]) -> frozenset[str]:
        self.probes.append(list(user_ids))
        await asyncio.sleep(0)
        return frozenset(self.locked.intersection(user_ids))

    async def settle(self, units: Sequence[AnyUnit]) -> list[Outcome | None]:
        self.settled.append(list(units))
        await asyncio.sleep(0)
        return self.settle_script.pop(0)(units)

    def _owner(self, ref: str) -> str:
        return self.owners.get(ref) or ref.removeprefix("clerk:")

    def _account(self, user_id: str) -> Account:
        return self.accounts.get(user_id) or account(user_id)


def account(user_id: str, posted: int = 100, seq: int = 1, revision: int = 1) -> Account:
    return Account.new(user_id)._replace(posted=posted, seq=seq, revision=revision)


def deduct(key: str, credits: int = 1) -> Deduct:
    return Deduct(key, "test", "X", credits)


def limits(**changes: Any) -> EngineLimits:
    """The limits that the daemon has where the settings say nothing else."""
    return EngineLimits(**{name: Settings.model_fields[name].default for name in EngineLimits._fields} | changes)


@asynccontextmanager
async def engine_on(
    store: Store, *, on_fault: Callable[[str, LedgerError], None] = lambda user, error: None, **changes: Any
) -> AsyncIterator[Engine]:
    engine = Engine(store, store, Metrics(), lambda: 1_795_000_000_000, limits(**changes), on_fault=on_fault)
    engine.start()
    sweeping = asyncio.create_task(sweep(engine))
    try:
        yield engine
    finally:
        await engine.drain(5)
        sweeping.cancel()
        assert not engine.crashed.done(), engine.crashed.result()


async def sweep(engine: Engine) -> None:
    """What the daemon's loop does, until cancelled; a failure is one of the test."""
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        await engine.sweeper.tick()
