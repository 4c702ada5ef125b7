"""What an operation costs when its caller names no credits: the user's plan first, the app's
feature costs after it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from pedro_ledger.ledger.account import CREDITS_MAX
from pedro_ledger.ledger.tokens import TokenPrice

RESERVED_KEY = "tokenPrices"
"""The key of token prices among feature costs, where no operation type has its name."""
ANY_MODEL = "*"
RATE_MAX = 10**8
"""Credits per million tokens; more is a mistake."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Price(NamedTuple):
    """Credits, and where the number was found (`settings@<version>` or `plan:<id>@<version>`)."""

    credits: int
    provenance: str


class PriceList(NamedTuple):
    """Costs by operation type from one place, at one version."""

    provenance: str
    costs: Mapping[str, int]
    tokens: Mapping[str, Mapping[str, TokenPrice]] = _NOTHING
    """By operation type and model."""


class PricedTokens(NamedTuple):
    """What tokens of a model cost, and where that was found (`…#<operation type>/<model>`)."""

    price: TokenPrice
    provenance: str


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
        for prices in self._lists(plan_id):
            if (credits := prices.costs.get(operation_type)) is not None:
                return Price(credits, prices.provenance)
        return None

    def find_tokens(self, plan_id: str | None, operation_type: str, model: str | None) -> PricedTokens | None:
        """The price of tokens of `model`, else of any: the plan's before the settings', per model.

        None where nobody has set one.
        """
        for name in (model, ANY_MODEL):
            for prices in self._lists(plan_id):
                price = None if name is None else prices.tokens.get(operation_type, _NOTHING).get(name)
                if price is not None:
                    return PricedTokens(price, f"{prices.provenance}#{operation_type}/{name}")
        return None

    def _lists(self, plan_id: str | None) -> tuple[PriceList, ...]:
        plan = self.plans.get(plan_id) if plan_id is not None else None
        return (self.settings,) if plan is None else (plan, self.settings)


def costs(value: Any) -> Mapping[str, int]:
    """The usable costs in a JSON value that the app wrote: whole, not negative, within a balance;
    the rest is not a price.
    """
    if not isinstance(value, dict):
        return _NOTHING
    return MappingProxyType(
        {name: cost for name, cost in value.items() if type(cost) is int and 0 <= cost <= CREDITS_MAX}
    )


def token_prices(value: Any) -> Mapping[str, Mapping[str, TokenPrice]]:
    """The usable token prices in a JSON value that the app wrote, by operation type and model."""
    found = value.get(RESERVED_KEY) if isinstance(value, dict) else None
    if not isinstance(found, dict):
        return _NOTHING
    by_type = {
        operation_type: {model: price for model, raw in models.items() if (price := _token_price(raw)) is not None}
        for operation_type, models in found.items()
        if isinstance(models, dict)
    }
    return MappingProxyType(by_type)


def _token_price(raw: Any) -> TokenPrice | None:
    if not isinstance(raw, dict):
        return None
    rates = [raw.get(name) for name in ("uncachedInput", "output", "cachedInput", "cacheWrite")]
    minimum = raw.get("minimum", 0)
    if any(type(rate) is not int or not 0 <= rate <= RATE_MAX for rate in rates if rate is not None):
        return None
    if rates[0] is None or rates[1] is None or type(minimum) is not int or not 0 <= minimum <= CREDITS_MAX:
        return None
    return TokenPrice(rates[0], rates[1], rates[2], rates[3], minimum)
