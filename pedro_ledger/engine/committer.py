"""The group committer: takes every unit that waits as one batch.

No timer; the commit in flight is the linger.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Set
from time import monotonic, perf_counter
from typing import Any

from pedro_ledger.engine.actor import Phase, UserActor
from pedro_ledger.engine.busy import BusyActors
from pedro_ledger.engine.byte_budget import ByteBudget
from pedro_ledger.engine.in_doubt import InDoubtUnits
from pedro_ledger.engine.ports import Meter, OnFault, OnMoved, UnitStore, WallClock
from pedro_ledger.engine.submission import Submission
from pedro_ledger.ledger.decide import Facts
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.errors import LedgerError, NotCommitted, OutcomeUnknown, Unavailable
from pedro_ledger.ledger.outcomes import outcomes_of
from pedro_ledger.ledger.units import Busy, Outcome, Replayed, Stale, Unit

BATCH_SPLIT_MIN = 32
"""Fewer operations than these are never spread over two batches: a commit costs as much as writing
fifteen operations.
"""
FAIR_SHARE_MIN = 16
"""An actor may put so many operations into a batch whoever else waits; beyond them it gets no more
than its share of the batch, so that a user who floods fills neither the batch nor the time of the
others."""
BYTES_SHARE = 0.25
"""Of the bytes of a batch, for one actor while others are active."""
ACTIVE_ACTORS_DECAY = 0.75
"""Of the crowd that one batch saw, for the next: who was just answered asks again soon, and must
not meet a batch that one user filled meanwhile."""
RETRY_FIRST_S = 0.02
RETRY_LONGEST_S = 1.0
FAILURE_TOLD_S = 5.0
SETTLE_ON_LANE_S = 0.25
"""A lane waits so long for units in doubt whose accounts somebody has locked, most often the commit
itself, which soon ends.
"""


class BatchSlot:
    """One actor's unit in one batch."""

    __slots__ = ("actor", "unit")

    def __init__(self, actor: UserActor, unit: Unit[Submission]) -> None:
        self.actor = actor
        self.unit = unit


class GroupCommitter:
    """Actors that have work stand in line; each lane takes as many as fit into a batch, decides,
    commits, and steps them.
    """

    def __init__(
        self,
        store: UnitStore,
        meter: Meter,
        clock: WallClock,
        on_idle: Callable[[UserActor], None],
        on_clerk_move: Callable[[UserActor], None],
        in_flight: Callable[[], int],
        bytes_in_flight: ByteBudget,
        on_fault: OnFault,
        jitter: Callable[[], float],
        *,
        batch_operations_max: int,
        batch_bytes_max: int,
        unit_operations_max: int,
    ) -> None:
        self._store = store
        self._meter = meter
        self._clock = clock
        self._on_idle = on_idle
        self._on_clerk_move = on_clerk_move
        self._in_flight = in_flight
        self._bytes_in_flight = bytes_in_flight
        self._on_fault = on_fault
        self.on_moved: OnMoved | None = None
        """Told of each account that was committed, or seen to be newer."""
        self._operations_last = 0
        self._crowd = 0.0
        """How many actors share the batches lately."""
        self._batch_operations_max = batch_operations_max
        self._batch_bytes_max = batch_bytes_max
        self._unit_operations_max = unit_operations_max
        self._line: deque[UserActor] = deque()
        self._work = asyncio.Event()
        self._retry_s = RETRY_FIRST_S
        self._failed_at = float("-inf")
        self._failure = ""
        self.facts = Facts()
        """The prices in force."""
        self.busy = BusyActors(store, on_idle, jitter)
        self.in_doubt = InDoubtUnits(store, self._finish)

    def enqueue(self, actor: UserActor) -> None:
        """The actor has work and a loaded account."""
        actor.phase = Phase.WAITING
        self._line.append(actor)
        self._work.set()

    @property
    def failure(self) -> str:
        """Why the last batch could not be committed; empty when it could, or when none was tried
        for `FAILURE_TOLD_S`: without callers nothing would be tried, and nobody would learn that
        the database is well again.
        """
        return self._failure if monotonic() - self._failed_at < FAILURE_TOLD_S else ""

    def _note_failure(self, failure: Exception) -> None:
        self._failed_at, self._failure = monotonic(), str(failure)

    async def run_lane(self) -> None:
        """Commit batches until cancelled."""
        while True:
            if not self._line:
                self._work.clear()
                await self._work.wait()
            await self.commit_once()

    async def commit_once(self) -> None:
        """One batch, from deciding to stepping its actors."""
        slots = self._assemble()
        if slots:
            await self._commit(slots)

    def _assemble(self) -> list[BatchSlot]:
        started = perf_counter()
        now_ms, slots = self._clock(), list[BatchSlot]()
        room = most = self._operations_at_most()
        crowd = max(len(self._line), self._crowd)
        share = min(max(FAIR_SHARE_MIN, int(room / max(1, crowd))), self._unit_operations_max)
        # Where nothing in flight is large enough to be counted, bytes bound nothing.
        bytes_room = self._batch_bytes_max if self._bytes_in_flight.in_use else None
        bytes_share = self._batch_bytes_max if crowd <= 1 else int(self._batch_bytes_max * BYTES_SHARE)
        postponed: list[UserActor] = []
        while self._line and room > 0:
            actor = self._line.popleft()
            bytes_max = None if bytes_room is None else max(0, min(bytes_room, bytes_share))
            unit = actor.take_unit(now_ms, self.facts, min(room, share), bytes_max)
            if unit is None:
                if bytes_max == 0 and actor.has_work and not actor.needs_loading:
                    postponed.append(actor)
                else:
                    self._on_idle(actor)
                continue
            actor.phase = Phase.COMMITTING
            room -= len(unit.decided)
            if bytes_room is not None:
                bytes_room -= actor.unit_bytes
            slots.append(BatchSlot(actor, unit))
        self._line.extendleft(reversed(postponed))  # theirs is large: small ones do not wait behind it
        if slots:
            self._meter.decided(most - room, perf_counter() - started)
        self._operations_last = most - room
        self._crowd = max(len(slots), self._crowd * ACTIVE_ACTORS_DECAY)
        return slots

    def _operations_at_most(self) -> int:
        """Half of those in flight, the ones that were just answered included: while the database
        writes one half, the daemon answers the other and takes in what its callers ask next.
        Without this a large batch is followed by a small one for ever, and each side waits for the
        other in turn.
        """
        asking = self._in_flight() - (self.busy.operations if self.busy else 0)
        half = (self._operations_last + asking) // 2
        return min(max(half, BATCH_SPLIT_MIN), self._batch_operations_max)

    async def _commit(self, slots: list[BatchSlot]) -> None:
        while slots:
            units = [slot.unit for slot in slots]
            started = perf_counter()
            try:
                outcomes = await self._store.commit(units)
            except OutcomeUnknown as failure:
                self._note_failure(failure)
                self._meter.unknown(len(units))
                for slot in slots:
                    slot.actor.mark_in_doubt()
                await self._settle(slots)
                return
            except NotCommitted as failure:
                if failure.locked_users:
                    slots = self._without(slots, failure.locked_users)
                    continue
                if failure.poisoned:
                    await self._split(slots, failure)
                    return
                self._note_failure(failure)
                if failure.error is None:
                    await self._retry_later(slots)
                else:
                    self._fail(slots, failure.error)
                return
            self._retry_s, self._failure = RETRY_FIRST_S, ""
            self._meter.batch(len(units), sum(len(unit.decided) for unit in units), perf_counter() - started)
            for slot, outcome in zip(slots, outcomes, strict=True):
                self._finish(slot.actor, outcome)
            return

    def _finish(self, actor: UserActor, outcome: Outcome) -> None:
        if isinstance(outcome, Busy):
            self._defer(actor)
            return
        if isinstance(outcome, Stale):
            self._meter.stale(1)
        elif isinstance(outcome, Replayed):
            self._meter.replayed(len(outcome.answers))
        elif (unit := actor.unit) is not None and (unit.booked or unit.before.open or unit.originals):
            self._meter_outcomes(unit)
        if actor.finish(outcome):
            self._on_clerk_move(actor)
        if self.on_moved is not None and actor.account is not None:
            self.on_moved(actor.account)
        self._on_idle(actor)

    def _meter_outcomes(self, unit: Unit[Any]) -> None:
        """What became of credits; a plain account's unit tells of none."""
        decided = [each for _, each in unit.decided if isinstance(each, Entry)]
        for kind, credits in outcomes_of([*unit.booked, *decided], unit.originals):
            self._meter.outcome(kind, credits)

    def _without(self, slots: list[BatchSlot], locked_users: Set[str]) -> list[BatchSlot]:
        """Defer those whose rows somebody has locked. Returns the others."""
        others: list[BatchSlot] = []
        for slot in slots:
            if slot.unit.user_id in locked_users:
                self._defer(slot.actor)
            else:
                others.append(slot)
        return others

    def _defer(self, actor: UserActor) -> None:
        self._meter.busy(1)
        actor.abandon_unit()
        self.busy.add(actor)

    async def _settle(self, slots: list[BatchSlot]) -> None:
        """Ask until the database answers: nobody may be told "failed" of what may have happened.
        Callers have their deadline.

        Units whose accounts somebody has locked are soon asked for elsewhere, so that nobody waits
        behind them.
        """
        retry_s, waited_s = RETRY_FIRST_S, 0.0
        while True:
            try:
                outcomes = await self._store.settle([slot.unit for slot in slots])
            except OutcomeUnknown:
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, RETRY_LONGEST_S)
                continue
            self._retry_s, self._failure = RETRY_FIRST_S, ""
            locked: list[BatchSlot] = []
            for slot, outcome in zip(slots, outcomes, strict=True):
                if outcome is None:
                    locked.append(slot)
                else:
                    self._finish(slot.actor, outcome)
            if not locked:
                return
            if waited_s >= SETTLE_ON_LANE_S:
                self.in_doubt.add((slot.actor, slot.unit) for slot in locked)
                return
            slots, pause_s = locked, max(RETRY_FIRST_S, waited_s)
            await asyncio.sleep(pause_s)
            waited_s += pause_s

    async def _retry_later(self, slots: list[BatchSlot]) -> None:
        """The database could not take the batch, through no fault of the batch: back into the line,
        and wait a little.
        """
        for slot in slots:
            slot.actor.abandon_unit()
            self._on_idle(slot.actor)
        await asyncio.sleep(self._retry_s)
        self._retry_s = min(2 * self._retry_s, RETRY_LONGEST_S)

    async def _split(self, slots: list[BatchSlot], failure: NotCommitted) -> None:
        """The database refuses something in the batch: halve it until the one operation is found
        that it refuses.
        """
        if len(slots) > 1:
            middle = len(slots) // 2
            await self._commit(slots[:middle])
            await self._commit(slots[middle:])
            return
        actor, unit = slots[0].actor, slots[0].unit
        if len(unit.decided) == 1:
            assert failure.error is not None, "what is to blame is told why"
            self._fail(slots, failure.error)
        else:
            actor.one_by_one = len(unit.decided)
            actor.abandon_unit()
            self._on_idle(actor)

    def _fail(self, slots: list[BatchSlot], error: LedgerError) -> None:
        """The units certainly were not committed, and will not be as things stand: tell their
        callers.
        """
        for slot in slots:
            if isinstance(error, Unavailable):
                self._on_fault(slot.unit.user_id, error)
            slot.actor.fail_unit(error)
            self._on_idle(slot.actor)
