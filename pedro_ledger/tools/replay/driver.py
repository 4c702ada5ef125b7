"""Sends the requests of a trace: as fast as it goes, or at a multiple of the speed at which they
were made.
"""

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

import orjson

from pedro_ledger.ledger.account import CREDITS_MAX
from pedro_ledger.tools.replay.accounts import ReplayUser
from pedro_ledger.tools.replay.client import Answer, DaemonClient
from pedro_ledger.tools.replay.parallel import Stage, in_parallel
from pedro_ledger.tools.replay.trace import TraceLine

TRIES_MAX = 8
"""Top-ups for one request; each covers it, but others of the same user may spend it first."""


class ReplayRequest(NamedTuple):
    """A request of the trace with who makes it and what it asks for."""

    line: TraceLine
    user: ReplayUser
    operation_type: str
    credits: int | None
    """None: the daemon finds the price."""


class ReplayCounts:
    """What the replay counts.

    `before`: by an earlier replay of the same run, so that nothing moved now.
    """

    def __init__(self) -> None:
        self.accepted = 0
        self.accepted_before = 0
        self.refused = 0
        self.top_ups = 0
        self.top_ups_before = 0
        self.credits_deducted = 0
        self.credits_topped_up = 0
        self.replayed = 0
        """Answers that had been given before, to an earlier replay or to a try whose answer was
        lost.
        """
        self.behind_s = 0.0
        """How much later than planned a request was sent, at worst."""
        self.seconds = 0.0


class Driver:
    """Replays steps. Whatever it does next for a request depends only on answers that the daemon
    repeats, so a run that is replayed, or was cut short and goes on, meets the keys that it used
    before.
    """

    def __init__(self, client: DaemonClient, tally: ReplayCounts, *, run_id: str, top_up: int, speed: float) -> None:
        self._client = client
        self._tally = tally
        self._run_id = run_id
        self._top_up = top_up
        self._speed = speed
        self._started_at = self._first_at = 0.0

    async def run(self, steps: Sequence[ReplayRequest], *, concurrency: int, stage: Stage) -> None:
        """Send every step. Raises `ReplayStopped` for an answer with which it cannot go on."""
        self._started_at, self._first_at = perf_counter(), steps[0].line.at_s
        await in_parallel(steps, self._replay, workers=concurrency, stage=stage)
        self._tally.seconds = perf_counter() - self._started_at

    async def _replay(self, step: ReplayRequest) -> None:
        if self._speed:
            await self._until(step.line.at_s)
        tally, user, body = self._tally, step.user, deduct_body(step)
        key = f"replay-{self._run_id}-{step.line.number}"
        for number in range(1, TRIES_MAX + 1):
            answer = await self._client.operate(user.deduct_url, key if number == 1 else f"{key}-again-{number}", body)
            tally.replayed += answer.replayed
            if answer.status == 201:
                tally.accepted += 1
                if user.take(answer.body, -1, step.credits):
                    tally.credits_deducted += answer.body["credits"]
                else:
                    tally.accepted_before += 1
                return
            if not self._top_up or number == TRIES_MAX:
                break
            await self._grant(user, f"{key}-topup-{number}", answer)
        tally.refused += 1

    async def _grant(self, user: ReplayUser, key: str, refusal: Answer) -> None:
        """Top up by so many times the unit as cover what was refused. The refusal's creditsRequired
        is repeated with it, the balance of the moment would not be: the same run must ask for the
        same grant.
        """
        tally = self._tally
        credits = min(-(-refusal.body["creditsRequired"] // self._top_up) * self._top_up, CREDITS_MAX)
        answer = await self._client.operate(user.grants_url, key, orjson.dumps({"credits": credits, "source": "topup"}))
        if answer.status != 201:
            raise self._client.unexpected(answer)
        tally.replayed += answer.replayed
        tally.top_ups += 1
        if user.take(answer.body, 1, credits):
            tally.credits_topped_up += credits
        else:
            tally.top_ups_before += 1

    async def _until(self, at_s: float) -> None:
        early_s = self._started_at + (at_s - self._first_at) / self._speed - perf_counter()
        if early_s > 0:
            await asyncio.sleep(early_s)
        else:
            self._tally.behind_s = max(self._tally.behind_s, -early_s)


def deduct_body(step: ReplayRequest) -> bytes:
    """The body of a step's deduct, the same whenever the trace is replayed."""
    line = step.line
    details = {"contextTokens": line.context_tokens, "generatedTokens": line.generated_tokens}
    body = {"operationType": step.operation_type, "details": details}
    return orjson.dumps(body if step.credits is None else {**body, "credits": step.credits})
