"""The closing report of a replay, for people and for machines."""

from collections.abc import Sequence
from math import ceil
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from pedro_ledger.tools.replay.books import Books
from pedro_ledger.tools.replay.driver import ReplayCounts

SHOWN_MAX = 10


class ReplayReport(NamedTuple):
    """What a replay did, and what it found."""

    run_id: str
    trace: str
    url: str
    users: int
    requests: int
    tally: ReplayCounts
    retries: int
    latencies_s: Sequence[float]
    """Of each operation, from its first try to its answer, ascending."""
    books: Books
    is_paced: bool
    """Whether requests had a time to be sent at."""

    @property
    def operations(self) -> int:
        """Deducts and top-ups that were answered, those that were refused included."""
        return len(self.latencies_s)

    @property
    def operations_per_s(self) -> float:
        """Over the time from the first request to the last answer."""
        return self.operations / self.tally.seconds if self.tally.seconds else 0.0

    def latency_ms(self) -> dict[str, float]:
        """Percentiles and the longest, in milliseconds."""
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
        return {name: round(percentile(self.latencies_s, share) * 1000, 3) for name, share in shares.items()}


def percentile(ascending: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of all do not exceed; 0 where there are
    none.
    """
    return ascending[max(0, ceil(share * len(ascending)) - 1)] if ascending else 0.0


def report_json(report: ReplayReport) -> dict[str, Any]:
    """Everything in one object."""
    tally, books = report.tally, report.books
    return {
        "runId": report.run_id,
        "file": report.trace,
        "url": report.url,
        "users": report.users,
        "requests": report.requests,
        "accepted": tally.accepted,
        "acceptedBefore": tally.accepted_before,
        "refused": tally.refused,
        "topUps": tally.top_ups,
        "topUpsBefore": tally.top_ups_before,
        "creditsDeducted": tally.credits_deducted,
        "creditsToppedUp": tally.credits_topped_up,
        "replayed": tally.replayed,
        "retries": report.retries,
        "operations": report.operations,
        "seconds": round(tally.seconds, 3),
        "operationsPerSecond": round(report.operations_per_s, 1),
        "latencyMs": report.latency_ms(),
        "behindSeconds": round(tally.behind_s, 3) if report.is_paced else None,
        "booksAgree": books.agree,
        "usersChecked": books.users,
        "entriesChecked": books.entries,
        "disagreements": len(books.disagreements),
        "firstDisagreements": [
            {"userId": each.user_id, "clerkId": each.clerk_id, "problem": each.problem}
            for each in books.disagreements[:SHOWN_MAX]
        ],
    }


def print_report(report: ReplayReport, console: Console) -> None:
    """The same as a table, then whether the books agree."""
    tally, books, latency = report.tally, report.books, report.latency_ms()
    table = Table.grid(padding=(0, 2))
    rows = {
        "run": f"{report.run_id}, {report.users:,} users",
        "requests": f"{report.requests:,} of {report.trace}",
        "accepted": f"{tally.accepted:,}{_before(tally.accepted_before)}",
        "refused": f"{tally.refused:,}",
        "top-ups": f"{tally.top_ups:,}{_before(tally.top_ups_before)}",
        "credits moved": f"{tally.credits_deducted:,} deducted, {tally.credits_topped_up:,} topped up",
        "repeated": f"{tally.replayed:,} answers given before, {report.retries:,} retries",
        "operations": f"{report.operations:,} in {tally.seconds:,.1f} s, {report.operations_per_s:,.0f} a second",
        "latency": ", ".join(f"{name} {value:,.1f} ms" for name, value in latency.items()),
    }
    if report.is_paced:
        rows["behind"] = (
            f"{tally.behind_s:,.2f} s at most; a higher --concurrency may help"
            if tally.behind_s >= 1
            else "less than 1 s"
        )
    checked = f"{books.users:,} balances and {books.entries:,} entries read back"
    rows["books"] = f"{checked}: {'they agree' if books.agree else 'THEY DISAGREE'}"
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table, highlight=False, markup=False)
    for each in books.disagreements[:SHOWN_MAX]:
        console.print(
            f"user {each.user_id} ({each.clerk_id}): {each.problem}", highlight=False, markup=False, soft_wrap=True
        )
    if len(books.disagreements) > SHOWN_MAX:
        console.print(f"and {len(books.disagreements) - SHOWN_MAX} more users")


def _before(count: int) -> str:
    return f", {count:,} of them by an earlier replay of this run" if count else ""
