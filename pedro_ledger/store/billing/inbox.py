"""The inbox of webhooks: a delivery is noted in the transaction of its effect, so that each event takes effect once."""

from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import asyncpg
import orjson
import structlog

from pedro_ledger.ledger.billing import Billing, Delivery, UserDeleted, UserUpserted
from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.ids import new_id
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.store.app.users import make_or_update
from pedro_ledger.store.billing.periods import find_plan, note_news

_SQL = SqlFiles("billing")
ASAAS = "asaas"
FIRST_STATUS = "incomplete"
"""Of a subscription of which nothing else was told."""
PURGE_PAGE = 5000
NEVER_APPLICABLE = frozenset({"22", "23"})
"""Classes of errors that lie in the data: it would fail again, however often it is sent."""
log = structlog.get_logger(__name__)


class State(StrEnum):
    """What became of a delivery."""

    APPLIED = "applied"
    PENDING = "pending"
    """Its user is not known yet; it is tried again."""
    STALE = "stale"
    """A later event of the same user was there before it."""
    IGNORED = "ignored"
    """It concerns neither users nor credits."""
    REJECTED = "rejected"
    """It cannot ever be applied."""


class DeliveryResult(NamedTuple):
    """What became of a delivery, now or when it came first."""

    state: State
    user_id: str | None = None
    is_repeat: bool = False
    is_new_user: bool = False


class PendingDelivery(NamedTuple):
    """A delivery that waits for its user."""

    provider: str
    event_id: str
    payload: str
    received_at: datetime


class WebhookStore:
    """Takes deliveries, each in one transaction with what it does to `User`, `SubscriptionEvent` and the billing periods."""

    def __init__(self, database: Database, *, signup_credits: int) -> None:
        self._database = database
        self._signup_credits = signup_credits

    async def take(self, delivery: Delivery) -> DeliveryResult:
        """Apply a delivery, unless it was taken before. Raises `Unavailable`."""
        async with self._database.acquire() as connection:
            try:
                return await self._take(connection, delivery)
            except asyncpg.UniqueViolationError as error:
                # The app or another replica made the same user at this moment; a repeat finds the user there.
                raise Unavailable("The event crossed with another change. Send it again.", reason="crossed") from error
            except asyncpg.PostgresError as error:
                if (error.sqlstate or "")[:2] not in NEVER_APPLICABLE:
                    raise
                log.exception("webhook_rejected", provider=delivery.provider, event_id=delivery.event_id)
        await self.reject(delivery)
        return DeliveryResult(State.REJECTED)

    async def _take(self, connection: Connection, delivery: Delivery) -> DeliveryResult:
        key = (delivery.provider, delivery.event_id)
        async with connection.transaction():
            if delivery.subject is not None:
                await lock_subject(connection, delivery.provider, delivery.subject)
            is_new = await connection.fetchval(
                _SQL["take_delivery"], *key, delivery.event_type, delivery.subject, delivery.occurred_at
            )
            record_id = None
            if is_new is None:
                row = await connection.fetchrow(_SQL["read_delivery"], *key)
                if row is None or row["state"] != State.PENDING:
                    return DeliveryResult(
                        State(row["state"]) if row else State.IGNORED, row["user_id"] if row else None, is_repeat=True
                    )
                record_id = row["record_id"]
            taken, record_id = await self._apply(connection, delivery, record_id)
            payload = orjson.dumps(delivery.payload).decode() if taken.state is State.PENDING else None
            await connection.execute(
                _SQL["settle_delivery"], *key, taken.state.value, taken.user_id, record_id, payload
            )
        return taken._replace(is_repeat=is_new is None)

    async def reject(self, delivery: Delivery) -> None:
        """Note a delivery that cannot ever be applied. Raises `Unavailable`."""
        key = (delivery.provider, delivery.event_id)
        async with self._database.acquire() as connection, connection.transaction():
            await connection.fetchval(
                _SQL["take_delivery"], *key, delivery.event_type, delivery.subject, delivery.occurred_at
            )
            await connection.execute(_SQL["settle_delivery"], *key, State.REJECTED.value, None, None, None)

    async def due(self, limit: int) -> list[PendingDelivery]:
        """Deliveries whose user may be known by now; each is put off in case not. Raises `Unavailable`."""
        async with self._database.acquire() as connection:
            return [PendingDelivery(*row) for row in await connection.fetch(_SQL["list_pending"], limit)]

    async def hasten(self, clerk_id: str) -> None:
        """A user has become known: what waits for one by that name is due now. Raises `Unavailable`."""
        async with self._database.acquire() as connection:
            await connection.execute(_SQL["hasten_pending"], clerk_id)

    async def purge(self, kept_days: int) -> int:
        """Forget what is too old to be delivered again, a page at a time. Returns how many. Raises `Unavailable`."""
        purged = 0
        while True:
            async with self._database.acquire() as connection:
                rows = await connection.fetch(_SQL["purge_deliveries"], kept_days, PURGE_PAGE)
            for row in rows:
                if row["state"] == State.PENDING:
                    log.error("webhook_user_never_came", provider=row["provider"], event_id=row["event_id"])
            purged += len(rows)
            if len(rows) < PURGE_PAGE:
                return purged

    async def _apply(
        self, connection: Connection, delivery: Delivery, record_id: str | None
    ) -> tuple[DeliveryResult, str | None]:
        match delivery.effect:
            case UserUpserted() as seen:
                return await self._user_seen(connection, delivery, seen), None
            case UserDeleted() as gone:
                if await knows_later(connection, delivery.subject, delivery.occurred_at, delivery.event_id):
                    return DeliveryResult(State.STALE), None
                user_id = await connection.fetchval(_SQL["deactivate_user"], gone.clerk_id)
                return DeliveryResult(State.IGNORED if user_id is None else State.APPLIED, user_id), None
            case Billing() as billing:
                return await _bill(connection, delivery, billing, record_id)
        is_readable = delivery.effect.is_readable
        return DeliveryResult(State.IGNORED if is_readable else State.REJECTED), None

    async def _user_seen(self, connection: Connection, delivery: Delivery, seen: UserUpserted) -> DeliveryResult:
        if await knows_later(connection, delivery.subject, delivery.occurred_at, delivery.event_id):
            return DeliveryResult(State.STALE)
        user_id, is_new = await put_user(
            connection, seen, signup_credits=self._signup_credits, actor=f"webhook:{delivery.provider}"
        )
        return DeliveryResult(State.APPLIED, user_id, is_new_user=is_new)


async def put_user(connection: Connection, seen: UserUpserted, *, signup_credits: int, actor: str) -> tuple[str, bool]:
    """Make or update a user as Clerk has it. Inside a transaction. Returns the id, and whether the user was made.

    Clerk gives an address to one user at a time: whoever else has it here had it before.
    """
    if seen.email is not None:
        await connection.fetch(_SQL["free_email"], seen.email, seen.clerk_id)
    user_id, is_new = await make_or_update(
        connection, seen.clerk_id, seen.email, seen.name, signup_credits=signup_credits, actor=actor
    )
    if not seen.is_active:
        await connection.fetchval(_SQL["deactivate_user"], seen.clerk_id)
    if is_new:
        await connection.execute(_SQL["claim_records"], user_id, seen.clerk_id)
    return user_id, is_new


async def lock_subject(connection: Connection, provider: str, subject: str) -> None:
    """Let whatever is about one subject wait until this transaction ends."""
    await connection.execute(_SQL["lock_subject"], provider, subject)


async def knows_later(connection: Connection, clerk_id: str | None, at: datetime, event_id: str) -> bool:
    """Whether an event of a Clerk user from after `at`, other than `event_id`, was applied."""
    return await connection.fetchval(_SQL["knows_later"], clerk_id, at, event_id)  # type: ignore[no-any-return]


async def _bill(
    connection: Connection, delivery: Delivery, billing: Billing, record_id: str | None
) -> tuple[DeliveryResult, str | None]:
    """Record a subscription event, and what it says of billing periods."""
    is_asaas = delivery.provider == ASAAS
    payer = await connection.fetchrow(
        _SQL["find_payer"],
        billing.users,
        billing.subscription if is_asaas else None,
        billing.customer if is_asaas else None,
    )
    if payer is None and is_asaas:
        return DeliveryResult(State.PENDING), None  # a record needs the Clerk id, which Asaas does not know
    plan_keys, status = billing.plan, billing.status
    if payer is not None and is_asaas:
        plan_keys, status = await _follow_subscription(connection, payer["id"], delivery, billing)
    if record_id is None:
        plan = await find_plan(connection, plan_keys, delivery.provider)
        record_id = new_id()
        await connection.execute(
            _SQL["record_event"],
            record_id,
            payer and payer["id"],
            payer["clerkId"] if payer is not None else billing.users[0],
            plan["key"] if plan is not None else plan_keys[-1] if plan_keys and not is_asaas else None,
            status or FIRST_STATUS,
            delivery.event_type,
            delivery.occurred_at,
            orjson.dumps(delivery.payload).decode(),
        )
    if payer is None:
        return DeliveryResult(State.PENDING), record_id
    for period in billing.periods:
        keys = tuple(dict.fromkeys((*period.plan, *plan_keys)))
        await note_news(connection, payer["id"], delivery.provider, period, keys, delivery.occurred_at)
    return DeliveryResult(State.APPLIED, payer["id"]), record_id


async def _follow_subscription(
    connection: Connection, user_id: str, delivery: Delivery, billing: Billing
) -> tuple[tuple[str, ...], str]:
    """The plan's keys and the status of an Asaas subscription: what the event tells, else what was told before."""
    known: Any = await connection.fetchrow(_SQL["find_subscription"], user_id, billing.subscription)
    before = tuple(known["plan_keys"]) if known is not None else ()
    keys = tuple(dict.fromkeys((*billing.plan, *before, billing.subscription)))
    status = billing.status or (known["status"] if known is not None else FIRST_STATUS)
    await connection.execute(
        _SQL["keep_subscription"],
        user_id, billing.subscription, billing.customer, keys, status, delivery.occurred_at,
    )  # fmt: skip
    return keys, status
