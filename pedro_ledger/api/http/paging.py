"""Keyset pagination: a page is found by where the page before ended, not by counting rows."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pedro_ledger.api.schemas.cursors import cursor_of

R = TypeVar("R")


def keyset_page(rows: Sequence[R], limit: int, key: Callable[[R], tuple[Any, ...]]) -> tuple[Sequence[R], str | None]:
    """The rows of a page, and the cursor of the next one (None on the last).

    `rows` are up to `limit` + 1 in their order, which shows whether more follow; `key` gives the
    place of a row in that order.
    """
    shown = rows[:limit]
    return shown, cursor_of(*key(shown[-1])) if len(rows) > limit else None
