"""What becomes of credits that nobody spends, as entries tell it; reports and metrics count it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pedro_ledger.ledger.account import Original
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.operations import LAPSE_KEY
from pedro_ledger.ledger.originals import effects_of


class CreditOutcome(NamedTuple):
    """`kind` is `expired`, `rolled_over`, `lapsed`, `captured_late` or `uncollected`."""

    kind: str
    credits: int
    """Of a lapse: what the hold still held."""


KINDS = ("expired", "rolled_over", "lapsed", "captured_late", "uncollected")


def outcomes_of(entries: Iterable[Entry], originals: Mapping[int, Original | None]) -> Iterator[CreditOutcome]:
    """The outcomes that a unit's entries tell; `originals` are the earlier ones that these name."""
    for entry in entries:
        if entry.source == "rollover":
            yield CreditOutcome("rolled_over", entry.credits)
        elif entry.key.startswith(LAPSE_KEY):
            yield CreditOutcome("lapsed", -effects_of(entry).get("held", 0))
        elif entry.kind == "expiry" and entry.credits:
            yield CreditOutcome("expired", -entry.credits)
        elif entry.kind in {"capture", "void"} and entry.effects is not None:
            uncollected = effects_of(entry).get("uncollected")
            if uncollected:
                yield CreditOutcome("uncollected", uncollected)
            hold = None if entry.related_seq is None else originals.get(entry.related_seq)
            if hold is not None and hold.closing is not None and hold.closing.has_lapsed:
                yield CreditOutcome("captured_late", -entry.credits)
