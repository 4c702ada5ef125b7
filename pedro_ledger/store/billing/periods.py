"""Billing periods: what was paid, contested or refunded, and which entries the ledger has for it."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from pedro_ledger.ledger.billing import PaymentEvent, PeriodEvent
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.store.journal.rows import Row

_SQL = SqlFiles("billing")


class Period(NamedTuple):
    """Names one billing period of a user's subscription."""

    user_id: str
    provider: str
    subscription: str
    period: str


class Step(NamedTuple):
    """The next entry that the ledger should have for a period; asked for again, it is the same."""

    no: int
    credits: int
    plan_id: str | None

    @property
    def gives(self) -> bool:
        """Whether credits come in; else what is left of them is taken back."""
        return self.no % 2 == 0


async def find_plan(connection: Connection, keys: Sequence[str], provider: str) -> Row | None:
    """Id, credits and key (for `SubscriptionEvent.planKey`) of the plan that goes by one of `keys`, best first."""
    row = await connection.fetchrow(_SQL["find_plan"], keys, provider)
    return None if row is None else dict(row)


async def note_news(
    connection: Connection, user_id: str, provider: str, news: PeriodEvent, plan_keys: Sequence[str], at: datetime
) -> None:
    """Note what happened to a period. Inside the transaction of the delivery that tells it."""
    times = (
        at if news.news is each else None for each in (PaymentEvent.PAID, PaymentEvent.UNDONE, PaymentEvent.REFUNDED)
    )
    await connection.execute(_SQL["note_news"], user_id, provider, news.subscription, news.period, plan_keys, *times)


class PlanPeriods:
    """What is owed, and how far it got."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def owed(self, user_id: str | None, limit: int) -> list[Period]:
        """Periods of a user, or of anybody that are due, whose credits are not as they should be. Raises `Unavailable`."""
        async with self._database.acquire() as connection:
            return [Period(*row) for row in await connection.fetch(_SQL["list_owed"], user_id, limit)]

    async def prepare(self, period: Period) -> Step | None:
        """Fix what is to be asked of the ledger next. None while the plan is not known, or when nothing is owed. Raises `Unavailable`."""
        async with self._database.acquire() as connection, connection.transaction():
            keys = await connection.fetchval(_SQL["find_keys"], *period)
            plan = None if keys is None else await find_plan(connection, keys, period.provider)
            found = (None, None) if plan is None else (plan["id"], plan["credits"])
            row = await connection.fetchrow(_SQL["prepare_entry"], *period, *found)
        if row is None or row["amount"] is None:
            return None
        return Step(row["step"], row["amount"] if row["step"] % 2 == 0 else row["taking"], row["plan_id"])

    async def mark(self, period: Period, step: Step, seq: int | None, credits: int) -> bool:
        """Note that the ledger has a step's entry. Returns whether more is owed. Raises `Unavailable`."""
        async with self._database.acquire() as connection:
            return bool(await connection.fetchval(_SQL["mark_done"], *period, step.no, seq, credits))
