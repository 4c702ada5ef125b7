"""The inbox of webhooks: a delivery is noted in the transaction of its effect, so that each event
takes effect once.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import asyncpg
import orjson
import structlog

from pedro_ledger.ledger.billing import Billing, Delivery, PeriodEvent, UserDeleted, UserUpserted
from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.ids import new_id
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.store.app.users import make_or_update
from pedro_ledger.store.billing.periods import Period, is_paid, note_news
from pedro_ledger.store.billing.plans import PLAN_AMBIGUOUS, Obstacle, Plan, find_plan, known_plan, settle_event

_SQL = SqlFiles("billing")
ASAAS = "asaas"
FIRST_STATUS = "incomplete"
"""Of a subscription of which nothing else was told."""
PURGE_PAGE = 5000
WAITS_FOR_USER = Obstacle(
    "user_not_found", "No user is known by what the event tells; it is applied when the user is made."
)
NOT_FINISHED = Obstacle("not_finished", "The credits of its billing period have not moved yet.")
AMOUNT_UNKNOWN = Obstacle(
    "amount_unknown", "Nothing tells what its billing period costs, so it is not known to be paid."
)
UNREADABLE = Obstacle("unreadable", "It is genuine, and not what the provider's documentation describes.")
_VALUE_REFUSED = frozenset({"22", "23"})
"""Classes of errors that lie in the event's own values: it would fail again, however often it is
tried.
"""
_MAY_PASS = frozenset({"23502", "23503", "23505"})
"""Of these classes: a column that the app requires, a user who is gone, a value that another row
has at this moment.
"""
log = structlog.get_logger(__name__)


class State(StrEnum):
    """What became of a delivery."""

    APPLIED = "applied"
    WAITING = "waiting"
    """Something is in the way: its user or plan is not known, the ledger or the database refuses.

    It is tried again.
    """
    STALE = "stale"
    """A later event of the same user was there before it."""
    IGNORED = "ignored"
    """It concerns neither users nor credits."""
    REJECTED = "rejected"
    """It cannot be applied as it is; nothing is tried again until somebody asks for it."""

    @property
    def stored(self) -> str:
        """As the column has it: replicas of the version before call what waits `pending`."""
        return "pending" if self is State.WAITING else self.value

    @classmethod
    def of(cls, stored: str) -> "State":
        """The state that a column says."""
        return cls.WAITING if stored == "pending" else cls(stored)


class DeliveryResult(NamedTuple):
    """What became of a delivery, now or when it came first."""

    state: State
    user_id: str | None = None
    is_repeat: bool = False
    is_new_user: bool = False
    obstacle: Obstacle | None = None
    """Why it waits, or was rejected."""
    owed: tuple[Period, ...] = ()
    """Billing periods that it tells of, whose credits have not moved yet."""


class PendingDelivery(NamedTuple):
    """A delivery that waits."""

    provider: str
    event_id: str
    payload: str
    received_at: datetime


class WebhookStore:
    """Takes deliveries, each in one transaction with what it does to `User`, `SubscriptionEvent`
    and the billing periods.
    """

    def __init__(self, database: Database, *, signup_credits: int) -> None:
        self._database = database
        self._signup_credits = signup_credits

    async def take(self, delivery: Delivery) -> DeliveryResult:
        """Apply a delivery, unless it was taken before; one that fails is set aside with the
        reason.

        Raises `Unavailable` where not even that can be noted.
        """
        try:
            async with self._database.writing(delivery.subject or delivery.event_id) as connection:
                try:
                    return await self._take(connection, delivery)
                except asyncpg.UniqueViolationError:
                    # The app or another replica made the same user at this moment: now it is there.
                    return await self._take(connection, delivery)
        except Unavailable as error:
            return await self.set_aside(delivery, State.WAITING, _database_error(error.__cause__ or error), error)
        except asyncpg.PostgresError as error:
            sqlstate = error.sqlstate or ""
            lies_in_value = sqlstate[:2] in _VALUE_REFUSED and sqlstate not in _MAY_PASS
            obstacle = _database_error(error)
            if lies_in_value:
                return await self.set_aside(delivery, State.REJECTED, obstacle._replace(reason="value_refused"), error)
            return await self.set_aside(delivery, State.WAITING, obstacle, error)
        except Exception as error:
            log.exception("webhook_failed", provider=delivery.provider, event_id=delivery.event_id)
            return await self.set_aside(
                delivery, State.WAITING, Obstacle("internal_error", type(error).__name__), error
            )

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
                if row is None:
                    return DeliveryResult(State.IGNORED, is_repeat=True)  # purged at this moment
                if State.of(row["state"]) is not State.WAITING:
                    return DeliveryResult(
                        State.of(row["state"]), row["user_id"], is_repeat=True, obstacle=_obstacle(row)
                    )
                record_id = row["record_id"]
            taken, record_id = await self._apply(connection, delivery, record_id)
            is_done = taken.state not in {State.WAITING, State.REJECTED}
            await connection.execute(
                _SQL["settle_delivery"], *key, taken.state.stored, taken.user_id, record_id,
                None if is_done else _payload(delivery), *(taken.obstacle or (None, None)), taken.obstacle == NOT_FINISHED,
            )  # fmt: skip
        return taken._replace(is_repeat=is_new is None)

    async def set_aside(
        self, delivery: Delivery, state: State, obstacle: Obstacle, error: BaseException
    ) -> DeliveryResult:
        """Note a delivery that could not be applied now, or ever. Raises `Unavailable`."""
        payload = _payload(delivery)
        if payload is None and state is State.WAITING:
            raise Unavailable("The event cannot be taken now. Send it again.", reason=obstacle.reason) from error
        log.warning(
            "webhook_set_aside", provider=delivery.provider, event_id=delivery.event_id, state=state.value,
            reason=obstacle.reason, error=type(error).__name__,
        )  # fmt: skip
        key = (delivery.provider, delivery.event_id)
        async with self._database.acquire() as connection, connection.transaction():
            noted = await connection.fetchrow(
                _SQL["set_aside"], *key, delivery.event_type, delivery.subject, delivery.occurred_at,
                state.stored, *obstacle, payload,
            )  # fmt: skip
            if noted is not None:
                return DeliveryResult(state, noted["user_id"], is_repeat=noted["is_repeat"], obstacle=obstacle)
            row = await connection.fetchrow(_SQL["read_delivery"], *key)
        if row is None:
            return DeliveryResult(State.IGNORED, is_repeat=True)
        return DeliveryResult(State.of(row["state"]), row["user_id"], is_repeat=True, obstacle=_obstacle(row))

    async def finish(self, delivery: Delivery, taken: DeliveryResult, obstacle: Obstacle | None) -> DeliveryResult:
        """Note whether the credits of a delivery's periods have moved, or what is in the way.

        Raises `Unavailable`.
        """
        key = (delivery.provider, delivery.event_id)
        state = State.APPLIED if obstacle is None else State.WAITING
        async with self._database.acquire() as connection:
            row = await connection.fetchrow(_SQL["finish_delivery"], *key, state.stored, *(obstacle or (None, None)))
            if row is None:  # a repeat of it was faster
                row = await connection.fetchrow(_SQL["read_delivery"], *key)
        if row is None:
            return taken
        return taken._replace(state=State.of(row["state"]), obstacle=_obstacle(row), owed=())

    async def claim(self, limit: int, about: str | None = None) -> list[PendingDelivery]:
        """Deliveries that wait and are due, or that name `about`; each is put off in case it must
        wait on. Raises `Unavailable`.
        """
        async with self._database.acquire() as connection:
            return [PendingDelivery(*row) for row in await connection.fetch(_SQL["claim_deliveries"], limit, about)]

    async def purge(self, kept_days: int) -> int:
        """Forget what is too old to be delivered again, a page at a time.

        Returns how many. Raises `Unavailable`.
        """
        purged = 0
        while True:
            async with self._database.acquire() as connection:
                rows = await connection.fetch(_SQL["purge_deliveries"], kept_days, PURGE_PAGE)
            for row in rows:
                if State.of(row["state"]) is State.WAITING:
                    log.error(
                        "webhook_never_applied",
                        provider=row["provider"],
                        event_id=row["event_id"],
                        reason=row["reason"],
                    )
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
        if delivery.effect.is_readable:
            return DeliveryResult(State.IGNORED), None
        return DeliveryResult(State.REJECTED, obstacle=UNREADABLE), None

    async def _user_seen(self, connection: Connection, delivery: Delivery, seen: UserUpserted) -> DeliveryResult:
        if await knows_later(connection, delivery.subject, delivery.occurred_at, delivery.event_id):
            return DeliveryResult(State.STALE)
        user_id, is_new = await put_user(
            connection, seen, signup_credits=self._signup_credits, actor=f"webhook:{delivery.provider}"
        )
        return DeliveryResult(State.APPLIED, user_id, is_new_user=is_new)


async def put_user(connection: Connection, seen: UserUpserted, *, signup_credits: int, actor: str) -> tuple[str, bool]:
    """Make or update a user as Clerk has it. Inside a transaction. Returns the id, and whether the
    user was made.

    Clerk gives an address to one user at a time: whoever else has it here had it before.
    """
    if seen.email is not None:
        await connection.fetch(_SQL["lock_users"], seen.clerk_id, seen.email)
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
        return DeliveryResult(
            State.WAITING, obstacle=WAITS_FOR_USER
        ), None  # a record needs the Clerk id, which Asaas does not know
    plan, status, keys = await _subscribed(connection, None if payer is None else payer["id"], delivery, billing)
    clerk_id = payer["clerkId"] if payer is not None else billing.users[0]
    if record_id is None:
        record_id = new_id()
        user_id = None if payer is None else payer["id"]
        await _record(connection, delivery, record_id, user_id, clerk_id, plan, keys, status)
    elif isinstance(plan, Plan):
        await settle_event(connection, clerk_id, record_id, plan.id)
    if payer is None:
        return DeliveryResult(State.WAITING, obstacle=WAITS_FOR_USER), record_id
    obstacle = plan if isinstance(plan, Obstacle) and plan.reason == PLAN_AMBIGUOUS else None
    owed: list[Period] = []
    for event in billing.periods:
        owing = await _note_period(connection, payer["id"], delivery, billing, event, plan, keys)
        if owing is not None:
            owed.append(owing)
    for event in billing.doubtful:
        if not await is_paid(connection, payer["id"], delivery.provider, event):
            obstacle = AMOUNT_UNKNOWN
    if obstacle is not None or owed:
        return DeliveryResult(
            State.WAITING, payer["id"], obstacle=obstacle or NOT_FINISHED, owed=tuple(owed)
        ), record_id
    return DeliveryResult(State.APPLIED, payer["id"]), record_id


async def _subscribed(
    connection: Connection, user_id: str | None, delivery: Delivery, billing: Billing
) -> tuple[Plan | Obstacle, str, tuple[str, ...]]:
    """The plan and the status of a subscription, and what the plan is called: what the event tells,
    else what was told before.
    """
    is_asaas = delivery.provider == ASAAS
    known: Any = None
    known_id = None
    if user_id is not None:
        known_id = await known_plan(connection, user_id, delivery.provider, billing.subscription)
        if is_asaas:
            known = await connection.fetchrow(_SQL["find_subscription"], user_id, billing.subscription)
    told = (*billing.plan, billing.subscription) if is_asaas else billing.plan
    before = tuple(known["plan_keys"]) if known is not None else ()
    plan = await find_plan(connection, delivery.provider, told, before, delivery.occurred_at, known_id=known_id)
    status = billing.status or (known["status"] if known is not None else FIRST_STATUS)
    keys = tuple(dict.fromkeys((*billing.plan, *before, *told)))
    if user_id is not None and is_asaas:
        await connection.execute(
            _SQL["keep_subscription"], user_id, billing.subscription, billing.customer,
            (plan.id,) if isinstance(plan, Plan) else keys, status, delivery.occurred_at, billing.cycle,
        )  # fmt: skip
        if billing.cycle is not None:
            await connection.execute(_SQL["keep_cycle"], user_id, billing.subscription, billing.cycle)
    return plan, status, keys


async def _record(
    connection: Connection,
    delivery: Delivery,
    record_id: str,
    user_id: str | None,
    clerk_id: str,
    plan: Plan | Obstacle,
    keys: Sequence[str],
    status: str,
) -> None:
    if isinstance(plan, Plan):
        shown: str | None = plan.key
    else:
        shown = keys[-1] if keys and delivery.provider != ASAAS else None
    await connection.execute(
        _SQL["record_event"],
        record_id,
        user_id,
        clerk_id,
        shown,
        status,
        delivery.event_type,
        delivery.occurred_at,
        orjson.dumps(delivery.payload).decode(),
        plan.id if isinstance(plan, Plan) else None,
        keys,
        None if isinstance(plan, Plan) else plan.reason,
        delivery.provider,
    )


async def _note_period(
    connection: Connection,
    user_id: str,
    delivery: Delivery,
    billing: Billing,
    event: PeriodEvent,
    plan: Plan | Obstacle,
    keys: Sequence[str],
) -> Period | None:
    """Note the news of a billing period, with the id of its plan where that is known.

    Returns it if credits are owed.
    """
    if event.plan and event.plan != billing.plan:  # one of several items, each with a plan of its own
        known_id = await known_plan(connection, user_id, delivery.provider, event.subscription)
        plan = await find_plan(connection, delivery.provider, event.plan, (), delivery.occurred_at, known_id=known_id)
        keys = event.plan
    plan_keys = (plan.id,) if isinstance(plan, Plan) else keys
    return await note_news(connection, user_id, delivery.provider, event, plan_keys, delivery.occurred_at, billing.no)


def _payload(delivery: Delivery) -> str | None:
    """The event as it is kept while it is not applied; None where it is no JSON."""
    return None if delivery.payload is None else orjson.dumps(delivery.payload).decode()


def _obstacle(row: Any) -> Obstacle | None:
    return None if row["reason"] is None else Obstacle(row["reason"], row["detail"])


def _database_error(error: BaseException) -> Obstacle:
    """What the server said, without the row that it complains of."""
    if isinstance(error, asyncpg.PostgresError):
        return Obstacle("database_error", f"{error.sqlstate}: {error.args[0] if error.args else type(error).__name__}")
    return Obstacle("database_error", type(error).__name__)
