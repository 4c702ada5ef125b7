"""Takes deliveries to their end: genuine, applied once, and the plan's credits with the user."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from time import time
from typing import Any

import orjson
import structlog

from pedro_ledger.billing import asaas, clerk
from pedro_ledger.billing.signatures import NotGenuine, verify_svix, verify_token
from pedro_ledger.engine.engine import Engine
from pedro_ledger.ledger.billing import UNREADABLE, Delivery, UserUpserted
from pedro_ledger.ledger.errors import LedgerError, Unavailable
from pedro_ledger.ledger.operations import Grant, Recovery
from pedro_ledger.store.billing.inbox import DeliveryResult, State, WebhookStore
from pedro_ledger.store.billing.periods import Period, PlanPeriods, Step

RETRY_INTERVAL_S = 5.0
PURGE_INTERVAL_S = 600.0
PAGE = 100
STEPS_MAX = 4
"""Of one period in one go; more are left to the next turn."""
log = structlog.get_logger(__name__)


class NotConfigured(Exception):
    """No secret is set for a provider, so nothing of it can be taken. The message names the setting."""


class Webhooks:
    """`take_…` for each provider; `run` finishes what an interruption or an unknown user or plan left over."""

    def __init__(
        self,
        store: WebhookStore,
        periods: PlanPeriods,
        engine: Engine,
        *,
        clerk_secrets: tuple[bytes, ...],
        asaas_tokens: tuple[bytes, ...],
        kept_days: int,
        on_answer: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._periods = periods
        self._engine = engine
        self._clerk_secrets = clerk_secrets
        self._asaas_tokens = asaas_tokens
        self._kept_days = kept_days
        self._on_answer = on_answer

    def check_asaas(self, token: str) -> None:
        """Raises `NotGenuine` for a wrong token, before anything else of the request is looked at; `NotConfigured`."""
        if not self._asaas_tokens:
            raise NotConfigured("PEDRO_ASAAS_WEBHOOK_TOKENS is not set.")
        self._require(asaas.PROVIDER, lambda: verify_token(self._asaas_tokens, token))

    async def take_asaas(self, body: bytes) -> DeliveryResult:
        """Take an event whose token was checked. Raises `Unavailable` when it should be sent again."""
        return await self._take(_read(asaas.PROVIDER, None, body, datetime.now(UTC)))

    async def take_clerk(self, event_id: str, timestamp: str, signatures: str, body: bytes) -> DeliveryResult:
        """Take an event. Raises `NotGenuine`, `NotConfigured`, and `Unavailable` when it should be sent again."""
        if not self._clerk_secrets:
            raise NotConfigured("PEDRO_CLERK_WEBHOOK_SECRETS is not set.")
        self._require(
            clerk.PROVIDER, lambda: verify_svix(self._clerk_secrets, event_id, timestamp, signatures, body, time())
        )
        return await self._take(_read(clerk.PROVIDER, event_id, body, datetime.now(UTC)))

    async def run(self) -> None:
        """Finish what was left over, and forget what is too old, until cancelled."""
        purge_at = 0.0
        while True:
            try:
                await self.turn()
                if asyncio.get_running_loop().time() >= purge_at:
                    await self.purge()
                    purge_at = asyncio.get_running_loop().time() + PURGE_INTERVAL_S
            except Unavailable as error:
                log.warning("webhooks_not_finished", reason=error.facts.get("reason"))
            await asyncio.sleep(RETRY_INTERVAL_S)

    async def purge(self) -> int:
        """Forget deliveries that nobody repeats any more. Returns how many. Raises `Unavailable`."""
        return await self._store.purge(self._kept_days)

    async def turn(self) -> None:
        """Try once more what waits for a user, a plan or the ledger, as far as it is due. Raises `Unavailable`."""
        for waiting in await self._store.due(PAGE):
            await self._apply(_read(waiting.provider, waiting.event_id, waiting.payload.encode(), waiting.received_at))
        for period in await self._periods.owed(None, PAGE):
            await self._settle(period)

    def _require(self, provider: str, check: Callable[[], None]) -> None:
        try:
            check()
        except NotGenuine:
            self._on_answer(provider, "not_genuine")
            raise

    async def _take(self, delivery: Delivery) -> DeliveryResult:
        taken = await self._apply(delivery)
        if taken.is_new_user and isinstance(delivery.effect, UserUpserted):
            await self._store.hasten(delivery.effect.clerk_id)
            await self.turn()
        self._on_answer(delivery.provider, "repeat" if taken.is_repeat else taken.state.value)
        told = log.warning if taken.state is State.REJECTED else log.info
        told(
            "webhook_taken", provider=delivery.provider, event_id=delivery.event_id, event_type=delivery.event_type,
            state=taken.state.value, is_repeat=taken.is_repeat,
        )  # fmt: skip
        return taken

    async def _apply(self, delivery: Delivery) -> DeliveryResult:
        taken = await self._store.take(delivery)
        if taken.user_id is not None:
            try:
                for period in await self._periods.owed(taken.user_id, PAGE):
                    await self._settle(period)
            except Unavailable as error:
                # What is owed is noted with the delivery: a later turn finishes it, so it need not be sent again.
                log.warning("webhook_not_finished", event_id=delivery.event_id, reason=error.facts.get("reason"))
        return taken

    async def _settle(self, period: Period) -> None:
        """Bring the ledger to what a period's news demand. What fails is left to a later turn: it is noted as owed."""
        for _ in range(STEPS_MAX):
            step = await self._periods.prepare(period)
            if step is None:
                log.warning("plan_not_found", **period._asdict())
                return
            seq, credits = None, 0
            if step.credits:
                try:
                    answer = await self._engine.submit(period.user_id, _operation(period, step))
                    if answer.receipt is None:
                        assert answer.error is not None, "an answer has a receipt or an error"
                        raise answer.error
                except LedgerError as error:
                    log.error("plan_credits_not_moved", code=error.code, detail=error.detail, **period._asdict())
                    return
                seq, credits = answer.receipt.seq, answer.receipt.credits
            if not await self._periods.mark(period, step, seq, credits):
                return


def _operation(period: Period, step: Step) -> Grant | Recovery:
    """What to ask of the ledger for a step; equal, key included, whoever asks and however often."""
    details: dict[str, Any] = {
        "plan": step.plan_id, "provider": period.provider, "subscription": period.subscription, "period": period.period
    }  # fmt: skip
    kind = Grant if step.gives else Recovery
    return kind(
        f"§plan:{period.provider}:{period.subscription}:{period.period}:{step.no}",
        f"webhook:{period.provider}",
        step.credits,
        "plan",
        orjson.dumps(details, option=orjson.OPT_SORT_KEYS).decode(),
    )


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
