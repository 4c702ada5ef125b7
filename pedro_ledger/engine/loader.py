"""Reads accounts for the actors that wait for theirs: all that wait, in one query."""

import asyncio
import contextlib
from collections.abc import Callable
from time import perf_counter

from pedro_ledger.engine.actor import Phase, UserActor
from pedro_ledger.engine.ports import AccountSource, Meter
from pedro_ledger.engine.registry import ActorRegistry
from pedro_ledger.ledger.account import AccountQuery
from pedro_ledger.ledger.errors import Unavailable, UserNotFound

RETRY_FIRST_S = 0.05
RETRY_LONGEST_S = 1.0


class AccountLoader:
    """One query at a time; what comes meanwhile waits for the next."""

    def __init__(
        self,
        source: AccountSource,
        registry: ActorRegistry,
        meter: Meter,
        on_loaded: Callable[[UserActor], None],
        *,
        accounts_per_query_max: int = 1000,
    ) -> None:
        self._source = source
        self._registry = registry
        self._meter = meter
        self._on_loaded = on_loaded
        self._accounts_max = accounts_per_query_max
        self._waiting: dict[UserActor, None] = {}
        self._work = asyncio.Event()

    def request(self, actor: UserActor) -> None:
        """Load what the actor needs, then hand it on."""
        actor.phase = Phase.LOADING
        self._waiting[actor] = None
        self._work.set()

    async def run(self) -> None:
        """Load until cancelled."""
        retry_s = RETRY_FIRST_S
        while True:
            await self._work.wait()
            try:
                await self.load_once()
                retry_s = RETRY_FIRST_S
            except Unavailable:
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, RETRY_LONGEST_S)

    async def load_once(self) -> None:
        """One query for those that wait. Raises `Unavailable` with everybody still waiting."""
        actors = [actor for actor, _ in zip(self._waiting, range(self._accounts_max), strict=False)]
        started = perf_counter()
        wanted = [
            AccountQuery(
                actor.account.user_id if actor.account else actor.refs[0],
                sorted(actor.missing_originals or ()),
            )
            for actor in actors
        ]
        loaded = await self._source.load(wanted)
        self._meter.loaded(len(loaded), perf_counter() - started)
        for actor, want in zip(actors, wanted, strict=True):
            with contextlib.suppress(KeyError):
                del self._waiting[actor]
            found = loaded.get(want.ref)
            if found is None:
                actor.fail_waiting(UserNotFound(f"There is no user {want.ref}.", user=want.ref))
                self._registry.park(actor)
                continue
            actor.load(found)
            first = self._registry.resolve(actor, found.account.user_id)
            if first is actor or first.phase is Phase.RESTING:
                self._on_loaded(first)
        if not self._waiting:
            self._work.clear()
