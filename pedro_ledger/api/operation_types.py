"""The app's operation types, as a check on what callers send."""

from collections.abc import Collection
from difflib import get_close_matches

from pedro_ledger.api.http.problems import Problem
from pedro_ledger.store.app.price_refresher import PriceRefresher


class OperationTypes:
    """The values of the app's enum `OperationType`, as last read from the database."""

    def __init__(self, prices: PriceRefresher) -> None:
        self._prices = prices

    def require(self, name: str) -> None:
        """Raises the problem 422 `unknown_operation_type` for a name that is not in the enum."""
        known = self._prices.operation_types
        if name not in known:
            raise _unknown("operationType", f"operationType must be one of {', '.join(sorted(known))}.")

    async def require_priced(self, names: Collection[str]) -> None:
        """Raises the problem 422 `unknown_operation_type` for the first name in `featureCosts` that
        is not in the enum, also when it is read anew: the app may just have added it.
        """
        if not self._prices.operation_types.issuperset(names):
            await self._prices.refresh_soon()
        known = self._prices.operation_types
        for name in names:
            if name not in known:
                close = get_close_matches(name, known, n=1)
                hint = f"; did you mean {close[0]}?" if close else "."
                raise _unknown(
                    f"featureCosts.{name}",
                    f"featureCosts.{name} is no operation type{hint} With ?force it is set all the same.",
                )


def _unknown(field: str, detail: str) -> Problem:
    return Problem(422, "unknown_operation_type", "Unknown operation type", detail, field=field)
