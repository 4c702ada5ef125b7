"""What an operation costs when its caller names no credits: the user's plan first, the app's
feature costs after it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from pedro_ledger.ledger.account import CREDITS_MAX

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Price(NamedTuple):
    """Credits, and where the number was found (`settings@<version>` or `plan:<id>@<version>`)."""

    credits: int
    provenance: str


class PriceList(NamedTuple):
    """Costs by operation type from one place, at one version."""

    provenance: str
    costs: Mapping[str, int]


class PriceBook(NamedTuple):
    """Every price list that is in force."""

    settings: PriceList = PriceList("settings", _NOTHING)
    plans: Mapping[str, PriceList] = _NOTHING
    """By `Plan.id`; by other keys for accounts that the version before wrote, until their plan is
    settled.
    """

    def find(self, plan_id: str | None, operation_type: str) -> Price | None:
        """The price of `operation_type` for a user on plan `plan_id`; None where nobody has set
        one.
        """
        plan = self.plans.get(plan_id) if plan_id is not None else None
        for prices in (plan, self.settings):
            if prices is not None and (credits := prices.costs.get(operation_type)) is not None:
                return Price(credits, prices.provenance)
        return None


def costs(value: Any) -> Mapping[str, int]:
    """The usable costs in a JSON value that the app wrote: whole, not negative, within a balance;
    the rest is not a price.
    """
    if not isinstance(value, dict):
        return _NOTHING
    return MappingProxyType(
        {name: cost for name, cost in value.items() if type(cost) is int and 0 <= cost <= CREDITS_MAX}
    )
