"""The engine's front door: submit an operation, wait for its answer; start, drain and stop what is
behind.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import random
from typing import NamedTuple

from pedro_ledger.engine.actor import OUTCOME_UNKNOWN, Phase, UserActor
from pedro_ledger.engine.byte_budget import LARGE, ByteBudget, LargeOperation, large_bytes
from pedro_ledger.engine.committer import GroupCommitter
from pedro_ledger.engine.loader import AccountLoader
from pedro_ledger.engine.ports import AccountSource, Meter, OnFault, OnMoved, UnitStore, WallClock
from pedro_ledger.engine.registry import ActorRegistry
from pedro_ledger.engine.submission import Answer, BatchFuture, BatchSubmission, Submission
from pedro_ledger.engine.sweeper import Sweeper
from pedro_ledger.ledger.decide import REFUND_GRACE_MS
from pedro_ledger.ledger.errors import LedgerError, Overloaded, Unavailable
from pedro_ledger.ledger.limits import LimitBook
from pedro_ledger.ledger.operations import KINDS, SPENDING, Keyless, Operation
from pedro_ledger.ledger.prices import PriceBook

__all__ = ["Answer", "Engine", "EngineLimits"]

FULL_SHARE = 0.7
"""From this share of the operations that may be in flight on, traffic is better sent elsewhere."""
DEDUCT_SHARE = 0.8
"""Deducts, holds and extends may take this share of the operations in flight and of a mailbox.

The rest is for what gives credits or ends a hold: refunds, grants, captures, webhooks.
"""


class EngineLimits(NamedTuple):
    """How much the engine holds at most.

    Everything is bounded; the settings of the same names have the defaults.
    """

    mailbox_size_max: int
    operations_in_flight_max: int
    accounts_resident_max: int
    account_idle_s: float
    bytes_in_flight_max: int
    batch_operations_max: int
    batch_bytes_max: int
    unit_operations_max: int
    commit_lanes: int
    operation_timeout_s: float


class Engine:
    """Routes each operation to its user's actor.

    Use inside a running event loop: `start`, then `submit`, then `drain`.
    """

    def __init__(
        self,
        source: AccountSource,
        store: UnitStore,
        meter: Meter,
        clock: WallClock,
        limits: EngineLimits,
        *,
        on_fault: OnFault = lambda user, error: None,
        jitter: Callable[[], float] = random,
        refund_grace_ms: int = REFUND_GRACE_MS,
        on_moved: OnMoved | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._monotonic: Callable[[], float] = self.loop.time
        self._limits = limits
        self._deducts_max = max(1, int(limits.operations_in_flight_max * DEDUCT_SHARE))
        self._meter = meter
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopping = False
        self._emptied = asyncio.Event()
        self.crashed: asyncio.Future[BaseException] = self.loop.create_future()
        """Done when a part of the engine died; the daemon must stop then, for nobody would answer
        any more.
        """
        self.in_flight = 0
        """Operations that have no answer yet."""
        self.is_draining = False
        self.bytes = ByteBudget(limits.bytes_in_flight_max, meter.refused)
        """Of large details here, and of large bodies that callers are sending."""
        self.registry = ActorRegistry(
            accounts_max=limits.accounts_resident_max,
            mailbox_size_max=limits.mailbox_size_max,
            deducts_max=max(1, int(limits.mailbox_size_max * DEDUCT_SHARE)),
        )
        self.committer = GroupCommitter(
            store,
            meter,
            clock,
            self._step,
            self._deliver_anew,
            lambda: self.in_flight,
            self.bytes,
            on_fault,
            jitter,
            batch_operations_max=limits.batch_operations_max,
            batch_bytes_max=limits.batch_bytes_max,
            unit_operations_max=limits.unit_operations_max,
        )
        self.committer.on_moved = on_moved
        self.committer.facts = self.committer.facts._replace(refund_grace_ms=refund_grace_ms)
        self.loader = AccountLoader(source, self.registry, meter, self._step, self._deliver_anew, on_fault, jitter)
        self.sweeper = Sweeper(self.registry, meter, self._monotonic, account_idle_s=limits.account_idle_s)

    def start(self) -> None:
        """Start the lanes of commits and of loads, and what asks after locked rows.

        The sweeper is the caller's to run: see `Sweeper`.
        """
        runs = [self.committer.run_lane for _ in range(self._limits.commit_lanes)]
        for run in (*runs, *self.loader.runs, self.committer.busy.run, self.committer.in_doubt.run):
            task = self.loop.create_task(run(), name=run.__qualname__)
            task.add_done_callback(self._note_crash)
            self._tasks.append(task)

    def limit(self, limits: LimitBook) -> None:
        """Decide from now on within these spend limits of plans and of all users."""
        self.committer.facts = self.committer.facts._replace(limits=limits)

    def reprice(self, prices: PriceBook) -> None:
        """Decide from now on with these prices."""
        self.committer.facts = self.committer.facts._replace(prices=prices)

    def submit(self, ref: str, operation: Operation | Keyless) -> asyncio.Future[Answer]:
        """Hand one operation to the user that `ref` names.

        Raises `Overloaded` or `Unavailable` when it cannot be taken.
        """
        self._admit(1)
        self._admit_kind(operation)
        future: asyncio.Future[Answer] = self.loop.create_future()
        now = self._monotonic()
        self._deliver(ref, Submission(operation, now + self._limits.operation_timeout_s, self, future), now)
        return future

    async def submit_many(self, asked: Sequence[tuple[str, Operation | Keyless]]) -> Sequence[Answer]:
        """Hand over many operations; each gets its own answer, in the same order.

        An operation that cannot be taken harms no other.
        """
        if not asked:
            return []
        future = self._deliver_many(asked)
        del asked  # an operation that is answered is not kept for the sake of the others
        return [answer for answer in await future if answer is not None]

    def _deliver_many(
        self, asked: Sequence[tuple[str, Operation | Keyless]]
    ) -> asyncio.Future[Sequence[Answer | None]]:
        self._admit(len(asked))
        future: asyncio.Future[Sequence[Answer | None]] = self.loop.create_future()
        batch_future = BatchFuture(len(asked), future)
        now = self._monotonic()
        deadline = now + self._limits.operation_timeout_s
        for place, (ref, operation) in enumerate(asked):
            submission = BatchSubmission(operation, deadline, self, batch_future, place)
            try:
                self._admit_kind(operation)
                self._deliver(ref, submission, now)
            except LedgerError as error:
                # Without the frames that it went through: they would keep the operation alive.
                batch_future.put(place, Answer(None, error.with_traceback(None)))
        return future

    def on_answered(self, operation: Operation | Keyless, answer: Answer) -> None:
        """An operation has its answer and is no longer in flight."""
        self.in_flight -= 1
        self._meter.operation(KINDS[type(operation)], answer.error.code if answer.error is not None else "applied")
        if self.in_flight == 0:
            self._emptied.set()

    @property
    def is_full(self) -> bool:
        """Whether it is time to send traffic elsewhere, before anything is turned away here."""
        return self.in_flight >= self._limits.operations_in_flight_max * FULL_SHARE

    async def drain(self, grace_s: float) -> bool:
        """Take nothing new, finish what is in flight within `grace_s`, stop.

        True when everything was answered.
        """
        self.is_draining = True
        if self.in_flight:
            self._emptied.clear()
            try:
                async with asyncio.timeout(grace_s):
                    await self._emptied.wait()
            except TimeoutError:
                pass
        self._is_stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        return self.in_flight == 0

    def _note_crash(self, task: asyncio.Task[None]) -> None:
        """Parts never end by themselves.

        A cancellation that nobody here asked for, out of what a part awaited, ends one too.
        """
        if self.crashed.done() or (task.cancelled() and self._is_stopping):
            return
        name = task.get_name()
        if task.cancelled():
            self.crashed.set_result(RuntimeError(f"{name} was cancelled, and not by us"))
        else:
            self.crashed.set_result(task.exception() or RuntimeError(f"{name} ended"))

    def _admit(self, operations: int) -> None:
        if self.is_draining:
            self._meter.refused("draining")
            raise Unavailable("The daemon is shutting down. Send the request again; another replica takes it.")
        if self.in_flight + operations > self._limits.operations_in_flight_max:
            self._meter.refused("capacity")
            raise Overloaded("Too many operations are in flight. Try again shortly.", limit="operations")

    def _admit_kind(self, operation: Operation | Keyless) -> None:
        if self.in_flight >= self._deducts_max and type(operation) in SPENDING:
            self._meter.refused("capacity")
            raise Overloaded("Too many operations are in flight. Try again shortly.", limit="operations")

    def _deliver(self, ref: str, submission: Submission, now: float) -> None:
        details = getattr(submission.operation, "details", None)
        large = self._hold_bytes(ref, submission) if details is not None and len(details) > LARGE else None
        try:
            actor = self.registry.deliver(ref, submission, now)
        except Overloaded:
            if large is not None:
                large.held.release()
            self._meter.refused("mailbox")
            raise
        submission.ref = ref
        self.in_flight += 1
        if actor.phase is Phase.RESTING:
            self._step(actor)

    def _deliver_anew(self, moved: UserActor) -> None:
        """A user's Clerk id has changed: what named it concerns whoever owns it now."""
        for submission in self.registry.forget_clerk_ids(moved):
            if submission.is_answered:
                continue
            try:
                actor = self.registry.deliver(submission.ref, submission, self._monotonic())
            except Overloaded as error:
                self._meter.refused("mailbox")
                told = OUTCOME_UNKNOWN if submission.in_doubt else error.with_traceback(None)
                submission.answer(Answer(None, told))
                continue
            if actor.phase is Phase.RESTING:
                self._step(actor)

    def _hold_bytes(self, ref: str, submission: Submission) -> LargeOperation:
        """Count the bytes of a large operation until it is answered. Raises `Overloaded`."""
        held = self.bytes.hold(self.registry.user_of(ref))
        held.grow_to(large_bytes(submission.operation))
        submission.counter = large = LargeOperation(self, held)
        return large

    def _step(self, actor: UserActor) -> None:
        """An actor that is neither loading, waiting nor committing goes where its work is."""
        if not actor.has_work:
            self.registry.park(actor)
        elif actor.needs_loading:
            self.loader.request(actor)
        else:
            self.committer.enqueue(actor)
