"""One seed's story: replicas on one world, callers that ask, hang up, ask again, and check every
answer as it comes.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import NamedTuple

from pedro_ledger.engine.engine import Engine, EngineLimits
from pedro_ledger.engine.submission import Answer
from pedro_ledger.engine.sweeper import SWEEP_EVERY_S
from pedro_ledger.ledger.entries import Entry, Receipt
from pedro_ledger.ledger.errors import InsufficientCredits, LedgerError, SchemaChanged, Unavailable
from pedro_ledger.ledger.open_items import Rollover
from pedro_ledger.ledger.operations import (
    KINDS,
    Adjustment,
    Capture,
    Closes,
    Deduct,
    Extend,
    Grant,
    Heartbeat,
    Hold,
    Keyless,
    Operation,
    Refund,
    Touch,
    Void,
)
from pedro_ledger.ledger.originals import effects_of
from tests.engine.fakes import limits, sweep
from tests.system.simulation import virtual_time
from tests.system.simulation.link import LOCK_TIMEOUT_S, Link, Weather
from tests.system.simulation.world import POISON, World, promise

TIMEOUT_S = 5.0
LONG_AFTER_MS = 3 * 3_600_000
"""Clocks differ by an hour: every hold and every grant has ended by then, on each of them."""
NOTICED_WITHIN_S = 1.5
"""A row that was let go of is noticed within this time, the sweep that tells of deadlines
included.
"""
START_MS = 1_795_000_000_000


class Outline(NamedTuple):
    """What a seed showed, for a summary of many."""

    asked: Counter[str]
    answered: Counter[str]
    injected: Counter[str]
    booked: Counter[str]
    """What entries did, by what it is called."""


def tell(seed: int) -> Outline:
    """Run one seed. Raises `Broken`, or `Stuck`, when the engine breaks a promise."""
    return virtual_time.run(Story(Random(seed)).run())


def _what_it_books(entry: Entry) -> str:
    if entry.key.startswith("§lapse:"):
        return "lapse"
    if entry.source == "rollover":
        return "rollover"
    return "renewal" if "until" in effects_of(entry) else entry.kind


class QuietMeter:
    """Counts nothing."""

    def operation(self, kind: str, outcome: str) -> None: ...
    def batch(self, units: int, operations: int, seconds: float) -> None: ...
    def decided(self, operations: int, seconds: float) -> None: ...
    def loaded(self, accounts: int, seconds: float) -> None: ...
    def adopted(self, outcome: str) -> None: ...
    def stale(self, units: int) -> None: ...
    def busy(self, units: int) -> None: ...
    def replayed(self, operations: int) -> None: ...
    def unknown(self, units: int) -> None: ...
    def outcome(self, kind: str, credits: int) -> None: ...
    def refused(self, reason: str) -> None: ...


class Replica:
    """A daemon's engine; killed, it leaves its callers without an answer."""

    def __init__(self, story: "Story", *, ahead_ms: int = 0) -> None:
        random = story.random
        self.link = Link(story.world, random, story.weather, story.injected)
        self.limits = EngineLimits(
            mailbox_size_max=random.choice((2, 1024)),
            operations_in_flight_max=random.choice((8, 20_000)),
            bytes_in_flight_max=64 * 1024**2,
            accounts_resident_max=random.choice((2, 100)),
            account_idle_s=random.choice((0.5, 300)),
            batch_operations_max=random.choice((1, 5, 2_000)),
            batch_bytes_max=8 * 1024**2,
            unit_operations_max=random.choice((1, 3, 500)),
            commit_lanes=random.choice((1, 1, 2)),
            operation_timeout_s=TIMEOUT_S,
        )
        if story.is_calm:
            self.limits = limits(commit_lanes=random.choice((1, 2)), operation_timeout_s=TIMEOUT_S)
        skew_ms = ahead_ms or random.choice((0, 0, 3_600_000, -3_600_000))
        loop = asyncio.get_running_loop()
        self.engine = Engine(
            self.link, self.link, QuietMeter(), lambda: START_MS + skew_ms + int(loop.time() * 1000), self.limits,
            jitter=random.random,
        )  # fmt: skip
        self.engine.start()
        self._sweeping = asyncio.create_task(sweep(self.engine))

    async def end(self) -> bool:
        """As SIGTERM does. Whether everything was answered."""
        is_empty = await self.engine.drain(0)
        self._sweeping.cancel()
        return is_empty

    def kill(self) -> None:
        """As kill -9 does: nothing is finished, nobody is told."""
        for task in (*self.engine._tasks, self._sweeping):
            task.cancel()


class Story:
    """The people and the plot of one seed."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.injected: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.weather = Weather(random)
        self.users = [f"u{number}" for number in range(random.choice((1, 2, 6)))]
        self.world = World(self.users, random.choice((0, 10, 1000)))
        self.world.unadopted.update(user for user in self.users if random.random() < 0.3)
        self.is_calm = random.random() < 0.2
        """Nothing goes wrong but that rows are locked, and nothing is short."""
        if self.is_calm:
            self.weather.settle_down()
        self.receipts: dict[str, list[Receipt]] = {user: [] for user in self.users}
        self.holds: dict[str, list[Receipt]] = {user: [] for user in self.users}
        self.periods: dict[str, int] = {}
        """The grant of each user's newest period."""
        self.booked: Counter[str] = Counter()
        self.replicas: list[Replica] = []

    async def run(self) -> Outline:
        """Everybody asks; then the weather clears, and everything must come to an end."""
        self.replicas = [Replica(self) for _ in range(self.random.choice((1, 1, 2, 3)))]
        plot = asyncio.create_task(self._plot())
        strangers = [asyncio.create_task(self._stranger()) for _ in range(self.weather.locks)]
        try:
            async with asyncio.TaskGroup() as callers:
                for number in range(self.random.choice((1, 4, 12))):
                    callers.create_task(self._caller(number))
        except ExceptionGroup as failed:
            raise self.world.broken or failed.exceptions[0] from None
        for task in (plot, *strangers):
            task.cancel()
        await asyncio.wait((plot, *strangers))
        self.weather.clear()
        for replica in self.replicas:
            if replica.engine.crashed.done():
                raise replica.engine.crashed.result()
            await self._come_to_rest(replica)
            await replica.link.quiet()
        last = await self._let_everything_end()
        for replica in (*self.replicas, last):
            promise(await replica.end(), "the engine did not come to an end")
            await replica.link.quiet()
        self.world.audit()
        return Outline(self.asked, self.answered, self.injected, self.booked)

    async def _come_to_rest(self, replica: Replica) -> None:
        """Callers gave up, perhaps; what they asked for is finished all the same, and nobody stays
        awake.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + 120
        while replica.engine.registry.active or replica.engine.in_flight:
            promise(loop.time() < end, "an actor is active long after everything was answered")
            await asyncio.sleep(SWEEP_EVERY_S)

    async def _plot(self) -> None:
        """Now and then a replica is killed, and another starts."""
        while self.random.random() < 0.3 and not self.is_calm:
            await asyncio.sleep(self.random.uniform(0, 8))
            place = self.random.randrange(len(self.replicas))
            self.replicas[place].kill()
            self.injected["a replica is killed"] += 1
            self.replicas[place] = Replica(self)

    async def _stranger(self) -> None:
        """A program of the app's that locks a row, forgets it for a while, and comes again."""
        loop, locks = asyncio.get_running_loop(), self.world.locks
        while True:
            await asyncio.sleep(self.random.uniform(0, 3))
            row = self.random.choice(("balance", "account"))
            hold = locks.begin(self.random.choice(self.users), row, loop.time())
            self.injected[f"the app locks a row: {row}"] += 1
            try:
                await asyncio.sleep(self.random.choice((0.01, 0.5, 4, 12)))
            finally:
                locks.end(hold, row, loop.time())

    async def _caller(self, number: int) -> None:
        for turn in range(self.random.randint(1, 6)):
            if self.random.random() < 0.15:
                await self._ask_many(
                    [self._think(f"{number}-{turn}-{each}") for each in range(self.random.randint(1, 6))]
                )
            elif self.random.random() < 0.1:
                await self._keyless()
            else:
                await self._insist(*self._think(f"{number}-{turn}"))
            await asyncio.sleep(self.random.choice((0, 0, 0.01, 1.5)))

    def _think(self, name: str) -> tuple[str, Operation]:
        random = self.random
        user = random.choice(self.users)
        key = (
            f"k{random.randrange(4)}" if random.random() < 0.2 else name
        )  # some keys are shared, whatever is asked under them
        details = POISON if random.random() < 0.03 else None
        given = self.receipts[user]
        if random.random() < 0.4:
            return user, self._think_of_credits_that_end(user, key, details)
        match random.randrange(6):
            case 0:
                return user, Grant(key, "caller", random.randint(1, 20), "topup", details)
            case 1 if given:
                receipt = random.choice(given)
                return user, Refund(
                    key, "caller", receipt.entry_id, receipt.seq, None, random.choice((None, 1, 3)), details
                )
            case 2:
                return user, Adjustment(key, "caller", random.randint(-8, 8), "correction", details)
            case _:
                return user, Deduct(key, "caller", "AI_TEXT_CHAT", random.choice((1, 5, 40, None)), details)

    def _think_of_credits_that_end(self, user: str, key: str, details: str | None) -> Operation:
        """Lots, periods and holds."""
        random = self.random
        holds, period = self.holds[user], self.periods.get(user)
        match random.randrange(8):
            case 0:
                rule = random.choice((None, Rollover(50, 10, 2, 3_000)))
                ends_s = random.choice((None, 1, 4)) if rule is None else random.choice((1, 4))
                return Grant(
                    key, "caller", random.randint(1, 20), "promo", details, expires_in_s=ends_s, priority=random.choice((None, 40, 60)),
                    rollover=rule,
                )  # fmt: skip
            case 1:
                now_ms = START_MS + int(asyncio.get_running_loop().time() * 1000)
                closes = None if period is None else Closes(period, now_ms + random.choice((-500, 0, 1_500)))
                return Grant(
                    key, "caller", random.randint(1, 20), "plan", details, expires_at_ms=now_ms + random.choice((3_000, 9_000)),
                    rollover=Rollover(60, None, 2, None), closes=closes,
                )  # fmt: skip
            case 2 | 3 if holds:
                hold = random.choice(holds)
                return Capture(
                    key, "caller", hold.entry_id, hold.seq, random.choice((1, 4, 9)), details, random.random() < 0.6,
                    random.choice(("refuse", "allow", "cap")),
                )  # fmt: skip
            case 4 if holds:
                hold = random.choice(holds)
                return Void(key, "caller", hold.entry_id, hold.seq, details)
            case 5 if holds:
                hold = random.choice(holds)
                return Extend(
                    key, "caller", hold.entry_id, hold.seq, random.choice((0, 3)), random.choice((None, 5)), details
                )
            case _:
                return Hold(
                    key, "caller", "AI_TEXT_CHAT", random.choice((2, 8, 30)), details, random.choice((None, 1)),
                    random.choice((1, 3, 20)), random.choice((None, 1, 5)),
                    random.choice(("release", "capture_used", "capture_all")),
                )  # fmt: skip

    async def _keyless(self) -> None:
        """What needs no key: heartbeats, and touches that book what is due."""
        user = self.random.choice(self.users)
        holds = self.holds[user]
        operation: Keyless = Touch("sweeper")
        if holds and self.random.random() < 0.6:
            hold = self.random.choice(holds)
            operation = Heartbeat("caller", hold.entry_id, hold.seq, self.random.choice((None, 2, 50)))
        self.asked[KINDS[type(operation)]] += 1
        with suppress(LedgerError):
            await self._wait(self.random.choice(self.replicas).engine.submit(user, operation))

    async def _let_everything_end(self) -> Replica:
        """By a clock that is ahead of every other: each hold lapses, and nothing stays due."""
        replica = Replica(self, ahead_ms=LONG_AFTER_MS)
        for user in self.users:
            answer: Answer | None = None
            for _ in range(10):
                answer = await self._wait(replica.engine.submit(user, Touch("sweeper")))
                if answer is not None and answer.error is None:
                    break
            promise(answer is not None and answer.error is None, f"{user} cannot be touched: {answer}")
            account = self.world.accounts[user]
            promise(account.held == 0, f"{user} still has {account.held} credits held")
            promise(account.due_ms > START_MS + LONG_AFTER_MS, f"something of {user} is due")
            for entry in self.world.entries[user]:
                self.booked[_what_it_books(entry)] += 1
        return replica

    async def _insist(self, user: str, operation: Operation) -> None:
        """Ask until there is an answer, or until patience ends."""
        for _ in range(self.random.choice((1, 3, 30))):
            attempt = Attempt(self, user, operation)
            try:
                replica = self.random.choice(self.replicas)
                future = replica.engine.submit(self._ref(user), operation)
            except LedgerError as error:
                attempt.ended(Answer(None, error))
                await asyncio.sleep(0.05)
                continue
            self._check_bounds(replica)
            answer = await self._wait(future)
            if answer is None:
                continue
            attempt.ended(answer)
            if not isinstance(answer.error, Unavailable):
                return

    async def _wait(self, future: "asyncio.Future[Answer]") -> Answer | None:
        """The answer; None when the caller hung up, or the replica was killed."""
        asked_at = asyncio.get_running_loop().time()
        patience_s = self.random.uniform(0, 2) if self.random.random() < 0.1 else TIMEOUT_S + 2 * SWEEP_EVERY_S
        done, _ = await asyncio.wait([future], timeout=patience_s)
        if not done:
            promise(patience_s < TIMEOUT_S or self._was_killed(future), f"no answer by {asked_at + patience_s}")
            future.cancel()
            self.answered["the caller hung up"] += 1
            return None
        return future.result()

    def _was_killed(self, future: "asyncio.Future[Answer]") -> bool:
        return self.injected["a replica is killed"] > 0

    async def _ask_many(self, asked: Sequence[tuple[str, Operation]]) -> None:
        attempts = [Attempt(self, user, operation, is_alone=False) for user, operation in asked]
        replica = self.random.choice(self.replicas)
        try:
            async with asyncio.timeout(TIMEOUT_S + 2 * SWEEP_EVERY_S):
                answers = await replica.engine.submit_many([(self._ref(user), operation) for user, operation in asked])
        except LedgerError as error:
            answers = [Answer(None, error)] * len(asked)
        except TimeoutError:
            promise(self.injected["a replica is killed"] > 0, "a request of many got no answer")
            return
        promise(len(answers) == len(asked), f"{len(answers)} answers to {len(asked)} operations")
        for attempt, answer in zip(attempts, answers, strict=True):
            attempt.ended(answer)

    def _ref(self, user: str) -> str:
        return f"clerk:{user}" if self.random.random() < 0.3 else user

    def _check_bounds(self, replica: Replica) -> None:
        engine, limits = replica.engine, replica.limits
        promise(0 <= engine.in_flight <= limits.operations_in_flight_max, f"{engine.in_flight} operations in flight")
        promise(
            len(engine.registry) <= 2 * limits.accounts_resident_max, f"{len(engine.registry)} accounts are resident"
        )
        promise(engine.registry.deepest_mailbox() <= limits.mailbox_size_max, "a mailbox is deeper than it may be")


class Attempt:
    """One request under one key, from the moment that it is sent."""

    def __init__(self, story: Story, user: str, operation: Operation, *, is_alone: bool = True) -> None:
        self._story = story
        self._is_alone = is_alone
        """Whether it need not wait for other operations of its request."""
        self._user = user
        self._operation = operation
        self._place = (user, operation.key)
        self._seq_before = len(story.world.entries[user])
        self._is_repeat = operation.key in story.world.answers[user]
        self._asked_at = asyncio.get_running_loop().time()
        story.world.open_attempts[self._place] += 1
        story.asked[KINDS[type(operation)]] += 1

    def ended(self, answer: Answer) -> None:
        """Check the answer against the world as it is now."""
        stored = self._story.world.answers[self._user].get(self._operation.key)
        error = answer.error
        promise((answer.receipt is None) != (error is None), f"the answer is neither a receipt nor an error: {answer}")
        if self._is_repeat and answer.receipt is not None:
            promise(answer.replayed, f"a key that had its answer was applied anew: {answer}")
        if isinstance(error, Unavailable) and not isinstance(error, SchemaChanged):
            waited_s = asyncio.get_running_loop().time() - self._asked_at
            promise(waited_s > TIMEOUT_S - 0.001 or not error.facts, f"{error.facts} after {waited_s} s already")
        if answer.receipt is not None:
            self._check_receipt(answer)
        elif isinstance(error, InsufficientCredits):
            promise(stored is not None and stored.refusal is not None, "a refusal was told that is not remembered")
        self._check_radius(error)
        outcome = error.code if error is not None else "replayed" if answer.replayed else "applied"
        if isinstance(error, Unavailable):
            outcome = f"{error.code}, {error.facts.get('outcome', 'turned away')}"
        self._story.answered[outcome] += 1
        if outcome != "unavailable, unknown":
            self._story.world.open_attempts[self._place] -= 1

    def _check_radius(self, error: LedgerError | None) -> None:
        """Where nothing else goes wrong, a locked row concerns its own user: nobody else is
        refused, or waits for long.
        """
        if not self._story.is_calm:
            return
        now, locks = asyncio.get_running_loop().time(), self._story.world.locks
        # For a moment after a row was let go of, its user still waits to be noticed.
        is_locked = any(hold.user == self._user for hold in locks.during(self._asked_at - NOTICED_WITHIN_S, now))
        if isinstance(error, Unavailable):
            is_locked = any(hold.user == self._user for hold in locks.during(now - NOTICED_WITHIN_S, now))
            promise(is_locked, f"{error.code} for {self._user}, of whom nobody has locked a row")
        elif self._is_alone and not is_locked:
            waited_s, others = now - self._asked_at, len({hold.user for hold in locks.during(self._asked_at, now)})
            promise(waited_s < 0.5 + 2 * LOCK_TIMEOUT_S * others, f"{self._user} waited {waited_s} s for others")

    def _check_receipt(self, answer: Answer) -> None:
        receipt, user = answer.receipt, self._user
        assert receipt is not None
        entries = self._story.world.entries[user]
        promise(receipt.seq <= len(entries), f"{user} was told of entry {receipt.seq}, which is not there")
        entry = entries[receipt.seq - 1]
        promise(receipt == Receipt.of(user, entry), f"the receipt {receipt} is not of entry {entry}")
        promise(entry.key == self._operation.key, "the receipt is of another key")
        promise(
            answer.replayed or receipt.seq > self._seq_before,
            "an operation came before what was there when it was asked",
        )
        if receipt.type in {"deduct", "capture"}:
            self._story.receipts[user].append(receipt)
        elif receipt.type == "hold":
            self._story.holds[user].append(receipt)
        elif isinstance(self._operation, Grant) and self._operation.source == "plan":
            self._story.periods[user] = receipt.seq
