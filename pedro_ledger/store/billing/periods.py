"""Billing periods: what was paid, contested or refunded, and which entries the ledger has for
it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from time import time_ns
from typing import Any, NamedTuple

import structlog

from pedro_ledger.ledger.billing import PeriodEvent, PeriodNews
from pedro_ledger.ledger.operations import Closes
from pedro_ledger.ledger.plan_terms import GrantTerms, PlanTerms, cycle_end_ms
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.store.billing.plans import Obstacle, find_plan, known_plan

_SQL = SqlFiles("billing")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
log = structlog.get_logger(__name__)


class Period(NamedTuple):
    """Names one billing period of a user's subscription."""

    user_id: str
    provider: str
    subscription: str
    period: str


class Step(NamedTuple):
    """The next entry that the ledger should have for a period; asked for again, it is the same."""

    no: int
    key: str
    credits: int
    plan_id: str | None
    made_seq: int | None
    """Of the entry, where the ledger has it already; `credits` are those of the entry then."""
    terms: GrantTerms | None = None
    """Of credits that come in: None where they never end."""
    lot_seq: int | None = None
    """Of credits to take back: the grant whose lot they are in, if it made one."""

    @property
    def gives(self) -> bool:
        """Whether credits come in; else what is left of them is taken back."""
        return self.no % 2 == 0


def _ms(at: datetime | None) -> int | None:
    return None if at is None else (at - _EPOCH) // timedelta(milliseconds=1)


async def note_news(
    connection: Connection,
    user_id: str,
    provider: str,
    news: PeriodEvent,
    plan_keys: Sequence[str],
    at: datetime,
    no: int,
) -> Period | None:
    """Note what happened to a period. Inside the transaction of the delivery that tells it, which
    holds its subject's lock.

    Returns the period if credits are owed for it.
    """
    known = await _known(connection, user_id, provider, news)
    period = Period(user_id, provider, news.subscription, known["period"] if known is not None else news.period)
    starts_at = news.starts_at or news.due_at
    row = await connection.fetchrow(_SQL["note_period"], *period, plan_keys, starts_at, news.ends_at)
    assert row is not None, "it is inserted or updated"
    newest = PeriodNews(
        row["paid_at"], row["paid_no"] or 0, row["undone_at"], row["undone_no"] or 0, row["refunded_at"]
    ).after(news.news, at, no)
    return period if await connection.fetchval(_SQL["note_news"], *period, *newest) else None


async def is_paid(connection: Connection, user_id: str, provider: str, news: PeriodEvent) -> bool:
    """Whether an event told before that a period is paid."""
    known = await _known(connection, user_id, provider, news)
    return known is not None and bool(known["is_paid"])


async def _known(connection: Connection, user_id: str, provider: str, news: PeriodEvent) -> Any:
    """The row of the same period, where the provider tells its times; else it is known by its name
    alone.
    """
    if news.starts_at is None:
        return None
    return await connection.fetchrow(
        _SQL["find_period"], user_id, provider, news.subscription, news.period, news.starts_at, news.ends_at
    )


class PlanPeriods:
    """What is owed, and how far it got.

    Every call concerns one period, in a transaction of its own.
    """

    def __init__(self, database: Database, terms: PlanTerms | None) -> None:
        """`terms` is how the credits of periods end; None where they never do."""
        self._database = database
        self._terms = terms

    async def claim(self, limit: int) -> list[Period]:
        """Periods that are due, each put off in case its credits do not come now either.

        Raises `Unavailable`.
        """
        async with self._database.acquire() as connection:
            return [Period(*row) for row in await connection.fetch(_SQL["claim_periods"], limit)]

    async def hasten(self) -> None:
        """Plans have changed: what waits is due now. Raises `Unavailable`."""
        async with self._database.acquire() as connection:
            await connection.execute(_SQL["hasten_periods"])

    async def prepare(self, period: Period) -> Step | Obstacle | None:
        """Fix what is to be asked of the ledger next; None where nothing is owed. Raises
        `Unavailable`.
        """
        async with self._database.writing(period.user_id) as connection, connection.transaction():
            known = await connection.fetchrow(_SQL["lock_period"], *period)
            if known is None:
                return None
            if known["is_void"]:
                await connection.execute(_SQL["void_period"], *period)
                return None
            if known["seq"] is not None:
                return Step(known["step"], known["key"], known["credits"], None, known["seq"])
            plan_id, credits, obstacle, terms = None, None, None, None
            if known["amount"] is None:
                plan_id, credits, obstacle = await self._plan(connection, period, known["plan_keys"], known["paid_at"])
            if self._terms is not None and known["step"] % 2 == 0 and known["terms"] is None:
                terms = await self._grant_terms(connection, period, known, self._terms)
            row = await connection.fetchrow(
                _SQL["prepare_entry"], *period, plan_id, credits, *(obstacle or (None, None)),
                terms and terms.as_text(), bool(known["made_lot"]),
            )  # fmt: skip
            assert row is not None, "its row is locked"
        if obstacle is not None:
            return obstacle
        step = Step(row["step"], known["key"], row["amount"], row["plan_id"], None)
        if step.gives:
            return step._replace(terms=row["terms"] and GrantTerms.of_text(row["terms"]))
        return step._replace(credits=row["taking"], lot_seq=known["granted_seq"] if known["made_lot"] else None)

    async def mark(self, period: Period, step: Step, seq: int | None, credits: int) -> bool:
        """Note that the ledger has a step's entry.

        Returns whether more is owed. Raises `Unavailable`.
        """
        async with self._database.acquire() as connection:
            is_owed = bool(await connection.fetchval(_SQL["mark_done"], *period, step.no, seq, credits))
            if not is_owed:
                await connection.execute(_SQL["hasten_user"], period.user_id, period.provider)
            return is_owed

    async def note_trouble(self, period: Period, step: Step, trouble: Obstacle, *, is_refused: bool) -> None:
        """Note why a step's entry was not made; `is_refused`: by the ledger's rules, so that it
        certainly was not. Raises `Unavailable`.
        """
        async with self._database.acquire() as connection:
            await connection.execute(_SQL["note_trouble"], *period, step.no, *trouble, is_refused)

    async def _grant_terms(
        self, connection: Connection, period: Period, known: Any, terms: PlanTerms
    ) -> GrantTerms | None:
        """When the credits of a period end, and which period they follow; None where its end is not
        known.
        """
        start_ms, ends_ms = _ms(known["starts_at"]), _ms(known["ends_at"])
        if ends_ms is None and start_ms is not None:
            ends_ms = cycle_end_ms(start_ms, known["cycle"])
        if ends_ms is None:
            log.warning("plan_credits_without_end", **period._asdict())
            return None
        before = await connection.fetchrow(_SQL["find_previous_period"], *period[:3], known["starts_at"])
        closes = None
        if before is not None:
            ended_ms = _ms(before["ends_at"]) or start_ms
            assert ended_ms is not None, "only a period with a start has one before it"
            closes = Closes(before["granted_seq"], ended_ms)
        return terms.of_period(ends_ms, closes, time_ns() // 1_000_000)

    async def _plan(
        self, connection: Connection, period: Period, keys: Sequence[str], at: datetime | None
    ) -> tuple[str | None, int | None, Obstacle | None]:
        """Id and credits of the plan that a period is of, or what is in the way."""
        known_id = await known_plan(connection, *period[:3])
        plan = await find_plan(connection, period.provider, keys, (), at, known_id=known_id)
        if isinstance(plan, Obstacle):
            return None, None, plan
        if plan.credits < 0:
            return None, None, Obstacle(
                "plan_credits_invalid", f"Plan {plan.id} has credits {plan.credits}: set the number that a period brings."
            )  # fmt: skip
        return plan.id, plan.credits, None
