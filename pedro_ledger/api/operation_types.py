"""The app's operation types, as a check on what callers send."""

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
            raise Problem(
                422,
                "unknown_operation_type",
                "Unknown operation type",
                f"operationType must be one of {', '.join(sorted(known))}.",
                field="operationType",
            )
