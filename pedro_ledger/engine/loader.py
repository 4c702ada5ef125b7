"""Reads accounts for the actors that wait for theirs, and has users adopted who have none yet.

Apart from each other: an adoption writes, and may meet rows that somebody else has locked; a read
does not.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from time import perf_counter
from typing import Any, NamedTuple

from pedro_ledger.engine.actor import Phase, UserActor
from pedro_ledger.engine.ports import AccountSource, Meter, OnFault
from pedro_ledger.engine.query_line import QueryLine
from pedro_ledger.engine.registry import ActorRegistry
from pedro_ledger.ledger.account import AccountQuery, Loaded, Unadopted
from pedro_ledger.ledger.errors import Busy, LedgerError, Unavailable, UserNotFound

LANES = 2
"""Queries of each kind at a time."""
ACCOUNTS_PER_QUERY_MAX = 1000
USERS_PER_ADOPTION_MAX = 50
"""Adopted in one transaction: these wait with each other where it falls silent."""
PAUSE_FIRST_S = 0.05
PAUSE_LONGEST_S = 0.5


class Adoption(NamedTuple):
    """A user without an account, and the actor that waits for one."""

    actor: UserActor
    user_id: str
    pause_s: float = 0.0
    """For how long it was deferred last; 0 before the first time."""


class AccountLoader:
    """Hands an actor on with its account, or answers those who wait."""

    def __init__(
        self,
        source: AccountSource,
        registry: ActorRegistry,
        meter: Meter,
        on_loaded: Callable[[UserActor], None],
        on_clerk_move: Callable[[UserActor], None],
        on_fault: OnFault,
        jitter: Callable[[], float],
    ) -> None:
        self._source = source
        self._registry = registry
        self._meter = meter
        self._on_loaded = on_loaded
        self._on_clerk_move = on_clerk_move
        self._on_fault = on_fault
        self._jitter = jitter
        """From 0 to 1: replicas that wait for one lock do not try in step."""
        self._loop = asyncio.get_running_loop()
        self.deferred = 0
        """Users who wait for a row that somebody else has locked."""
        self._loads = QueryLine(self._load, self._take_in, self._fail_load, batch_max=ACCOUNTS_PER_QUERY_MAX)
        self._adoptions = QueryLine(
            self._adopt, self._take_in_adopted, self._fail_adoption, batch_max=USERS_PER_ADOPTION_MAX
        )
        self._retries = QueryLine(self._adopt, self._take_in_adopted, self._fail_adoption, batch_max=1)
        """Of users of whom somebody had locked a row: each alone, so that nobody waits with
        them."""

    @property
    def runs(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """What must run, each until cancelled."""
        return [line.run_lane for line in (self._loads, self._adoptions, self._retries) for _ in range(LANES)]

    def request(self, actor: UserActor) -> None:
        """Load what the actor needs, then hand it on."""
        actor.phase = Phase.LOADING
        self._loads.put(actor)

    async def _load(self, actors: list[UserActor]) -> Mapping[str, Loaded | Unadopted]:
        started = perf_counter()
        found = await self._source.load([_query(actor) for actor in actors])
        self._meter.loaded(len(found), perf_counter() - started)
        return found

    def _take_in(self, actors: list[UserActor], found: Mapping[str, Loaded | Unadopted]) -> None:
        for actor in actors:
            ref = _query(actor).ref
            what = found.get(ref)
            if what is None:
                self._answer(actor, UserNotFound(f"There is no user {ref}.", user=ref))
            elif isinstance(what, Unadopted):
                self._adoptions.put(Adoption(actor, what.user_id))
            else:
                self._hand_on(actor, what)

    def _fail_load(self, actor: UserActor, error: LedgerError) -> None:
        if not actor.missing_originals:
            self._fail(actor, _query(actor).ref, error)
            return
        if isinstance(error, Unavailable):
            self._on_fault(actor.user_id, error)
        actor.fail_originals(error)
        self._on_loaded(actor)

    async def _adopt(self, adoptions: list[Adoption]) -> Mapping[str, Loaded | Unadopted | LedgerError]:
        return await self._source.adopt({_query(adoption.actor).ref: adoption.user_id for adoption in adoptions})

    def _take_in_adopted(
        self, adoptions: list[Adoption], found: Mapping[str, Loaded | Unadopted | LedgerError]
    ) -> None:
        for adoption in adoptions:
            ref = _query(adoption.actor).ref
            what = found.get(ref)
            if isinstance(what, Loaded):
                self._meter.adopted("adopted")
                self._hand_on(adoption.actor, what)
            elif isinstance(what, Unadopted):  # the Clerk id is another user's now
                self._adoptions.put(Adoption(adoption.actor, what.user_id))
            else:
                self._fail_adoption(adoption, what or UserNotFound(f"There is no user {ref}.", user=ref))

    def _fail_adoption(self, adoption: Adoption, error: LedgerError) -> None:
        if not isinstance(error, Busy):
            self._meter.adopted("failed")
            self._fail(adoption.actor, adoption.user_id, error)
            return
        self._meter.adopted("busy")
        adoption.actor.phase = Phase.BUSY
        pause_s = min(2 * adoption.pause_s or PAUSE_FIRST_S, PAUSE_LONGEST_S)
        self.deferred += 1
        self._loop.call_later(pause_s * (0.5 + self._jitter()), self._try_again, adoption._replace(pause_s=pause_s))

    def _try_again(self, adoption: Adoption) -> None:
        self.deferred -= 1
        if adoption.actor.has_work:
            self._retries.put(adoption)
        else:
            self._registry.park(adoption.actor)

    def _hand_on(self, actor: UserActor, loaded: Loaded) -> None:
        if actor.load(loaded):
            self._on_clerk_move(actor)
        first = self._registry.resolve(actor, loaded.account.user_id)
        if first is actor or first.phase is Phase.RESTING:
            self._on_loaded(first)

    def _fail(self, actor: UserActor, user: str, error: LedgerError) -> None:
        if isinstance(error, Unavailable):
            self._on_fault(user, error)
        self._answer(actor, error)

    def _answer(self, actor: UserActor, error: LedgerError) -> None:
        actor.fail_waiting(error)
        self._registry.park(actor)


def _query(actor: UserActor) -> AccountQuery:
    """What the actor needs read."""
    ref = actor.account.user_id if actor.account else actor.refs[0]
    return AccountQuery(ref, sorted(actor.missing_originals or ()), actor.missing_meters)
