"""When the books agree with the replay's own receipts, and what is said when they do not."""

from typing import Any, cast

import pytest

from pedro_ledger.tools.replay import books
from pedro_ledger.tools.replay.accounts import ReplayUser
from pedro_ledger.tools.replay.books import disagreement
from pedro_ledger.tools.replay.client import DaemonClient
from pedro_ledger.tools.replay.parallel import Stage
from pedro_ledger.tools.replay.report import percentile


def statement(*changes: int) -> list[dict[str, Any]]:
    return [
        {"id": f"e{seq}", "seq": seq, "type": "entry", "credits": credits, "balanceAfter": sum(changes[:seq])}
        for seq, credits in enumerate(changes, 1)
    ]


def receipt(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "entryId": entry["id"],
        "seq": entry["seq"],
        "credits": abs(entry["credits"]),
        "creditsRemaining": entry["balanceAfter"],
    }


def user_with(entries: list[dict[str, Any]], start_seq: int, *, receipts_from: int = 2) -> ReplayUser:
    """A user who stood at `start_seq` when the clock started, and has receipts from seq
    `receipts_from` on.
    """
    user = ReplayUser("replay-x-1")
    user.start_seq = start_seq
    user.credits = sum(entry["credits"] for entry in entries[:start_seq])
    for entry in entries[receipts_from - 1 :]:
        user.take(receipt(entry), 1 if entry["credits"] > 0 else -1, abs(entry["credits"]))
    return user


def compared(user: ReplayUser, entries: list[dict[str, Any]], balance: int | None = None) -> str | None:
    posted = sum(entry["credits"] for entry in entries)
    return disagreement(user, {"creditsRemaining": posted if balance is None else balance}, entries)


BOOKS = statement(100, -30, -60, 500, -40)


@pytest.mark.parametrize("start_seq", [1, 3, 5])
def test_books_agree_whether_the_run_is_new_or_was_replayed_before(start_seq: int) -> None:
    user = user_with(BOOKS, start_seq)
    assert compared(user, BOOKS) is None
    assert user.credits == 470


def test_entries_of_an_earlier_replay_that_went_further_are_no_disagreement() -> None:
    user = user_with(BOOKS, 5)
    for entry_id in ("e4", "e5"):
        del user.known[entry_id]
    assert compared(user, BOOKS) is None


def test_only_what_is_new_counts_as_moved() -> None:
    user = user_with(BOOKS[:3], 2)
    assert user.take(receipt(BOOKS[3]), 1, 500) is True
    earlier = ReplayUser("replay-x-2")
    earlier.start_seq = 5
    assert earlier.take(receipt(BOOKS[4]), -1, 40) is False
    assert earlier.credits == 0


def test_an_entry_without_a_receipt_is_found() -> None:
    user = user_with(BOOKS[:4], 1)
    told = "seq 5 is a entry of -40 credits that the replay has no receipt of"
    assert compared(user, BOOKS) == told


def test_a_receipt_without_an_entry_is_found() -> None:
    user = user_with(BOOKS, 1)
    assert compared(user, BOOKS[:3]) == "2 entries with receipts are not in the statement, the first is e4"


def test_an_entry_that_differs_from_its_receipt_is_found() -> None:
    user = user_with(BOOKS, 1)
    told = "seq 2 is -35 credits up to 65, its receipt says seq 2, -30 credits up to 70"
    assert compared(user, statement(100, -35, -60, 500, -40)) == told


def test_a_gap_and_a_wrong_balance_are_found() -> None:
    user = user_with(BOOKS, 1)
    assert compared(user, [*BOOKS[:2], *BOOKS[3:]]) == "the statement has seq 4 where 3 is due"
    wrong = [*BOOKS[:1], {**BOOKS[1], "balanceAfter": 71}, *BOOKS[2:]]
    assert compared(user, wrong) == "seq 2 has the balance 71, the entries up to it sum to 70"


def test_a_balance_that_is_not_the_sum_is_found() -> None:
    user = user_with(BOOKS, 1)
    assert compared(user, BOOKS, balance=471) == "the balance is 471 credits, the replay's own sum 470"
    user.credits += 1
    assert compared(user, BOOKS) == "the statement comes to 470 credits, the replay's own sum to 471"


class LaggingReplica:
    """Gives the balance as it is; the statement without its last entry, as often as `late`, and in
    pages of two.
    """

    def __init__(self, late: int) -> None:
        self.late = late

    def url(self, path: str) -> str:
        return path

    async def get(self, path: str) -> dict[str, Any]:
        if path.endswith("/balance"):
            return {"creditsRemaining": 470, "seq": 5}
        _, _, after = path.partition("&cursor=")
        there = BOOKS[:4] if self.late > 0 else BOOKS
        place = int(after or 0)
        self.late -= place + 2 >= len(there)
        return {"items": there[place : place + 2], "nextCursor": f"{place + 2}" if place + 2 < len(there) else None}


@pytest.mark.parametrize(("late", "agree"), [(0, True), (1, True), (5, True), (1000, False)])
async def test_a_statement_that_ends_before_the_balance_is_read_again(
    monkeypatch: pytest.MonkeyPatch, late: int, agree: bool
) -> None:
    monkeypatch.setattr(books, "READING_PAUSE_S", 0)
    user = user_with(BOOKS, 1)
    user.user_id = "u1"
    client = cast("DaemonClient", LaggingReplica(late))
    found = await books.compare_books(client, [user], concurrency=1, stage=Stage())
    assert (found.agree, found.users, found.entries) == (agree, 1, 5 if agree else 4)


def test_receipts_that_cannot_be_right_are_found() -> None:
    user = user_with(BOOKS, 1)
    user.take(receipt(BOOKS[4]), -1, 40)
    assert compared(user, BOOKS) == "entry e5 was the answer to two operations"
    overcharged = user_with(BOOKS[:4], 1)
    overcharged.take(receipt(BOOKS[4]), -1, 39)
    assert compared(overcharged, BOOKS) == "entry e5 has 40 credits, 39 were asked for"
    priced = user_with(BOOKS[:4], 1)
    priced.take(receipt(BOOKS[4]), -1, None)
    assert compared(priced, BOOKS) is None


def test_percentiles_are_nearest_ranks() -> None:
    values = [float(number) for number in range(1, 201)]
    assert [percentile(values, share) for share in (0.5, 0.9, 0.99, 1.0)] == [100, 180, 198, 200]
    assert percentile([3.0], 0.01) == percentile([3.0], 0.99) == 3
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2
    assert percentile([], 0.5) == 0
