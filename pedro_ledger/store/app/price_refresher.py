"""What the app's database says that decisions need: operation types, feature costs, plans; and the
spend limits of plans and of all users.

Read again every few seconds.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from types import MappingProxyType

import orjson
import structlog

from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.ledger.limits import LimitBook
from pedro_ledger.ledger.meters import Limit, Scope
from pedro_ledger.ledger.prices import PriceBook, PriceList, costs, token_prices
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.queries import SqlFiles

_SQL = SqlFiles("app")
log = structlog.get_logger(__name__)


class PriceRefresher:
    """The newest of each, as of the last `refresh`."""

    def __init__(
        self,
        database: Database,
        on_prices: Callable[[PriceBook], None],
        on_limits: Callable[[LimitBook], None] = lambda limits: None,
    ) -> None:
        self._database = database
        self._on_prices = on_prices
        self._on_limits = on_limits
        self._raw: tuple[object, ...] = ()
        self._reading = asyncio.Lock()
        self.operation_types: frozenset[str] = frozenset()
        self.prices = PriceBook()
        self.limits: LimitBook = {}
        self.plans_seen: str | None = None
        """Everything that matters of the plans, as read last: whoever acts on a change of them
        compares.
        """

    async def refresh_soon(self) -> None:
        """Refresh now; where the database cannot be asked, the next tick does."""
        try:
            await self.refresh()
        except Exception as error:  # whoever changed a price has changed it all the same
            reason = error.facts.get("reason") if isinstance(error, Unavailable) else type(error).__name__
            log.warning("prices_not_refreshed", reason=reason)

    async def refresh(self) -> None:
        """Read everything once; tell of the prices when they changed. Raises `Unavailable`."""
        async with self._reading:  # one at a time, so that what was read earlier never comes after what was read later
            async with self._database.acquire() as connection:
                row = await connection.fetchrow(_SQL["read_catalog"])
            assert row is not None, "the query always has one row"
            if tuple(row) == self._raw:
                return
            self._raw = tuple(row)
            self.plans_seen = row["plans"]
            self.operation_types = frozenset(row["operation_types"])
            self.prices = price_book(row["settings"], row["plans"])
            self.limits = limit_book(row["limits"])
            self._on_prices(self.prices)
            self._on_limits(self.limits)


def price_book(settings: str | None, plans: str | None) -> PriceBook:
    """Every price list that is in force, from the JSON of `read_catalog.sql`."""
    settings_row = orjson.loads(settings) if settings else None
    by_id: dict[str, PriceList] = {}
    by_other_key: dict[str, PriceList] = {}
    for plan in orjson.loads(plans) if plans else ():
        prices = PriceList(
            f"plan:{plan['id']}@{plan['version']}", costs(plan["features"]), token_prices(plan["features"])
        )
        by_id[plan["id"]] = prices
        by_other_key |= {plan[name]: prices for name in ("name", "clerkName", "asaasId", "clerkId") if plan[name]}
    return PriceBook(
        PriceList(
            f"settings@{settings_row['version']}",
            costs(settings_row["featureCosts"]),
            token_prices(settings_row["featureCosts"]),
        )
        if settings_row
        else PriceBook().settings,
        MappingProxyType(by_other_key | by_id),
    )


def limit_book(limits: str | None) -> LimitBook:
    """Spend limits of plans and of all users, from the JSON of `read_catalog.sql`."""
    book: defaultdict[str | None, list[Limit]] = defaultdict(list)
    for limit_id, credits, window, zone, operation_type, on_behalf_of, plan_id in orjson.loads(limits or "[]"):
        scope: Scope = "all" if plan_id is None else "plan"
        book[plan_id].append(Limit(limit_id, credits, window, zone, operation_type, on_behalf_of, scope))
    return {plan_id: tuple(found) for plan_id, found in book.items()}
