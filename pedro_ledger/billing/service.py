"""Takes deliveries to their end: genuine, applied once, and the plan's credits with the user."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from time import time
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import orjson
import structlog

from pedro_ledger.billing import asaas, clerk
from pedro_ledger.billing.signatures import NotGenuine, verify_svix, verify_token
from pedro_ledger.engine.engine import Engine
from pedro_ledger.ledger.billing import UNREADABLE, Delivery, UserUpserted
from pedro_ledger.ledger.errors import LedgerError, Refusal, Unavailable
from pedro_ledger.ledger.operations import Grant, Recovery
from pedro_ledger.store.billing.deliveries import DeliveryDesk, SetAside
from pedro_ledger.store.billing.inbox import NOT_FINISHED, DeliveryResult, PendingDelivery, WebhookStore
from pedro_ledger.store.billing.periods import Period, PlanPeriods, Step
from pedro_ledger.store.billing.plans import EventPlans, Obstacle

PAGE = 100
AT_ONCE = 4
"""Deliveries that are applied at a time, and as many that a tick works on: one that waits for a
lock does not hold up the rest, and the pool has connections left for others."""
RECORD_PAGES = 20
"""Of the events of before, in one tick."""
STEPS_MAX = 4
"""Of one period in one go; more are left to the next tick."""
T = TypeVar("T")
log = structlog.get_logger(__name__)


class NotConfigured(Exception):
    """No secret is set for a provider, so nothing of it can be taken.

    The message names the setting.
    """


class Webhooks:
    """`take_…` for each provider; `tick` tries again what waits: for a user, a plan, the ledger or
    the database.
    """

    def __init__(
        self,
        store: WebhookStore,
        deliveries: DeliveryDesk,
        periods: PlanPeriods,
        event_plans: EventPlans,
        engine: Engine,
        *,
        clerk_secrets: tuple[bytes, ...],
        asaas_tokens: tuple[bytes, ...],
        kept_days: int,
        on_answer: Callable[[str, str], None],
        on_count: Callable[[SetAside], None],
        plans: Callable[[], object],
    ) -> None:
        self._store = store
        self.deliveries = deliveries
        self._periods = periods
        self._event_plans = event_plans
        self._engine = engine
        self._clerk_secrets = clerk_secrets
        self._asaas_tokens = asaas_tokens
        self._kept_days = kept_days
        self._on_answer = on_answer
        self._on_count = on_count
        self._plans = plans
        self._plans_hastened: object = None
        self._plans_settled: object = None
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._subjects: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def check_asaas(self, token: str) -> None:
        """Raises `NotGenuine` for a wrong token, before anything else of the request is looked at;
        `NotConfigured`.
        """
        if not self._asaas_tokens:
            raise NotConfigured("PEDRO_ASAAS_WEBHOOK_TOKENS is not set.")
        self._require(asaas.PROVIDER, lambda: verify_token(self._asaas_tokens, token))

    async def take_asaas(self, body: bytes) -> DeliveryResult:
        """Take an event whose token was checked.

        Raises `Unavailable` when it should be sent again.
        """
        return await self._take(_read(asaas.PROVIDER, None, body, datetime.now(UTC)))

    async def take_clerk(self, event_id: str, timestamp: str, signatures: str, body: bytes) -> DeliveryResult:
        """Take an event.

        Raises `NotGenuine`, `NotConfigured`, and `Unavailable` when it should be sent again.
        """
        if not self._clerk_secrets:
            raise NotConfigured("PEDRO_CLERK_WEBHOOK_SECRETS is not set.")
        self._require(
            clerk.PROVIDER, lambda: verify_svix(self._clerk_secrets, event_id, timestamp, signatures, body, time())
        )
        return await self._take(_read(clerk.PROVIDER, event_id, body, datetime.now(UTC)))

    async def tick_purge(self) -> None:
        """Purge once."""
        await self.purge()

    async def purge(self) -> int:
        """Forget deliveries that nobody repeats any more.

        Returns how many. Raises `Unavailable`.
        """
        return await self._store.purge(self._kept_days)

    async def tick(self) -> None:
        """Try once more what waits, as far as it is due, each on its own; then count what waits on.

        Raises `Unavailable`.
        """
        plans = self._plans()
        if plans != self._plans_hastened:
            await self._periods.hasten()
            self._plans_hastened = plans
        await self._each(self._settle, await self._periods.claim(PAGE))
        await self._each(self._retry, await self._store.claim(PAGE))
        self._on_count(await self.deliveries.count())

    async def tick_plans(self) -> None:
        """Settle which plan events mean: anew where plans have changed, and those of before for a
        while.

        Raises `Unavailable`.
        """
        plans = self._plans()
        if plans != self._plans_settled and await self._event_plans.resolve():
            self._plans_settled = plans
        for _ in range(RECORD_PAGES):
            recorded = await self._event_plans.record_some()
            if recorded is None:
                return
            log.info("event_plans_recorded", events=recorded.events, ambiguous=recorded.ambiguous)

    async def _each(self, work: Callable[[T], Awaitable[object]], items: Sequence[T]) -> None:
        """Do something with each item, some at a time.

        One that fails is told, and stops no other.
        """
        slots = asyncio.Semaphore(AT_ONCE)

        async def guarded(item: T) -> None:
            async with slots:
                try:
                    await work(item)
                except Unavailable as error:
                    log.warning("webhook_not_finished", reason=error.facts.get("reason"))
                except Exception:
                    log.exception("webhook_not_finished", reason="internal_error")

        await asyncio.gather(*map(guarded, items))

    async def _retry(self, waiting: PendingDelivery) -> None:
        await self._apply(_read(waiting.provider, waiting.event_id, waiting.payload.encode(), waiting.received_at))

    def _require(self, provider: str, check: Callable[[], None]) -> None:
        try:
            check()
        except NotGenuine:
            self._on_answer(provider, "not_genuine")
            raise

    async def _take(self, delivery: Delivery) -> DeliveryResult:
        taken = await self._apply(delivery)
        if taken.is_new_user and isinstance(delivery.effect, UserUpserted):
            try:
                await self._each(self._retry, await self._store.claim(PAGE, delivery.effect.clerk_id))
            except Unavailable as error:
                log.warning("webhook_not_finished", event_id=delivery.event_id, reason=error.facts.get("reason"))
        self._on_answer(delivery.provider, "repeat" if taken.is_repeat else taken.state.value)
        told = log.warning if taken.obstacle is not None else log.info
        told(
            "webhook_taken", provider=delivery.provider, event_id=delivery.event_id, event_type=delivery.event_type,
            state=taken.state.value, reason=taken.obstacle and taken.obstacle.reason, is_repeat=taken.is_repeat,
        )  # fmt: skip
        return taken

    async def _apply(self, delivery: Delivery) -> DeliveryResult:
        """Take a delivery, then move the credits of the periods that it tells of.

        Raises `Unavailable` where it could not be noted.
        """
        subject = self._subjects.setdefault(f"{delivery.provider}:{delivery.subject}", asyncio.Lock())
        async with (
            subject,
            self._slots,
        ):  # those of one subject would wait for each other anyway, each with a connection
            taken = await self._store.take(delivery)
        if not taken.owed:
            return taken
        obstacle = None if taken.obstacle == NOT_FINISHED else taken.obstacle
        for period in taken.owed:
            obstacle = await self._settle(period) or obstacle
        try:
            return await self._store.finish(delivery, taken, obstacle)
        except Unavailable as error:
            # It is noted, and what is owed with it: a later tick finishes it, so it need not be
            # sent again.
            log.warning("webhook_not_finished", event_id=delivery.event_id, reason=error.facts.get("reason"))
            return taken

    async def _settle(self, period: Period) -> Obstacle | None:
        """Bring the ledger to what a period's news demand.

        Returns what is in the way; then it stays owed, and a later tick tries again.
        """
        try:
            for _ in range(STEPS_MAX):
                step = await self._periods.prepare(period)
                if isinstance(step, Obstacle):
                    log.warning("plan_credits_not_moved", reason=step.reason, detail=step.detail, **period._asdict())
                    return step
                if step is None or not await self._move(period, step):
                    return None
        except LedgerError as error:
            log.error("plan_credits_not_moved", reason=error.code, detail=error.detail, **period._asdict())
            return Obstacle(error.code, error.detail)
        except Exception as error:
            log.exception("plan_credits_not_moved", reason="internal_error", **period._asdict())
            return Obstacle("internal_error", type(error).__name__)
        return NOT_FINISHED

    async def _move(self, period: Period, step: Step) -> bool:
        """Have the ledger make a step's entry, unless it has it.

        Returns whether more is owed. Raises `LedgerError`.
        """
        seq, credits = step.made_seq, step.credits
        if step.credits and seq is None:
            answer = await self._engine.submit(period.user_id, _operation(period, step))
            if answer.receipt is None:
                assert answer.error is not None, "an answer has a receipt or an error"
                trouble = Obstacle(answer.error.code, answer.error.detail)
                await self._periods.note_trouble(period, step, trouble, is_refused=isinstance(answer.error, Refusal))
                raise answer.error
            seq, credits = answer.receipt.seq, answer.receipt.credits
        return await self._periods.mark(period, step, seq, credits)


def _operation(period: Period, step: Step) -> Grant | Recovery:
    """What to ask of the ledger for a step; equal, key included, whoever asks and however often."""
    details: dict[str, Any] = {
        "plan": step.plan_id, "provider": period.provider, "subscription": period.subscription, "period": period.period
    }  # fmt: skip
    actor, text = f"webhook:{period.provider}", orjson.dumps(details, option=orjson.OPT_SORT_KEYS).decode()
    if not step.gives:
        return Recovery(step.key, actor, step.credits, "plan", text, grant_seq=step.lot_seq)
    grant = Grant(step.key, actor, step.credits, "plan", text)
    if step.terms is None:
        return grant
    return grant._replace(expires_at_ms=step.terms.expires_ms, rollover=step.terms.rollover, closes=step.terms.closes)


def _read(provider: str, event_id: str | None, raw: bytes, received_at: datetime) -> Delivery:
    """What a genuine body says; garbled ones are deliveries too, which nothing follows from."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    delivery: Delivery | None = None
    if isinstance(body, dict):
        if provider == clerk.PROVIDER:
            delivery = clerk.read_event(event_id or "", body, received_at)
        else:
            delivery = asaas.read_event(body, raw, received_at)
            if delivery is not None and event_id is not None:
                delivery = delivery._replace(event_id=event_id)
    known_id = event_id or "sha256:" + sha256(raw).hexdigest()
    return delivery or Delivery(provider, known_id, "unreadable", None, received_at, UNREADABLE, None)


__all__ = ["NotConfigured", "NotGenuine", "Webhooks"]
