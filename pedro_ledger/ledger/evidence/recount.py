"""Counting again from a user's entries what the meters of its spend limits say."""

from collections.abc import Sequence

from pedro_ledger.ledger.change import SPENDING_KINDS
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.meters import Meter, Spending
from pedro_ledger.ledger.originals import effects_of


class Recount:
    """Follows one user's entries in order of seq."""

    def __init__(self, meters: Sequence[Meter]) -> None:
        self._theirs = tuple(meters)
        self._ours = tuple([meter._replace(spent=0) for meter in meters])
        self._begin_ms = min(meter.start_ms for meter in meters)
        self._latest_ms = 0
        self._spent: dict[int, Entry] = {}
        """Entries that a refund may name, of the windows."""

    def follow(self, entry: Entry) -> None:
        """Take in the next entry.

        One of a clock that is behind counts into the window that has begun already.
        """
        self._latest_ms = max(self._latest_ms, entry.at_ms)
        if self._latest_ms < self._begin_ms:
            return
        spending = self._spending(entry)
        if spending is None:
            return
        self._ours = tuple(
            [meter.plus(spending) if meter.start_ms <= self._latest_ms else meter for meter in self._ours]
        )

    def compare(self) -> str | None:
        """What is wrong with the meters; None where they say what the entries do."""
        for ours, theirs in zip(self._ours, self._theirs, strict=True):
            if ours != theirs:
                what = f"the meter of a {theirs.window} in {theirs.zone}"
                return f"{what} has {theirs.spent} credits spent, the entries {ours.spent}"
        return None

    def _spending(self, entry: Entry) -> Spending | None:
        if entry.kind in SPENDING_KINDS:
            self._spent[entry.seq] = entry
            return Spending(-entry.credits, entry.operation_type, effects_of(entry).get("onBehalfOf"))
        if entry.kind != "refund" or entry.related_seq is None or (of := self._spent.get(entry.related_seq)) is None:
            return None
        return Spending(-entry.credits, of.operation_type, effects_of(of).get("onBehalfOf"), of.at_ms)
