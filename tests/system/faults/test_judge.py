"""The judge itself: an honest history passes, and each thing that must not happen is named."""

import asyncio
from collections.abc import Callable
from hashlib import sha256

import pytest

from tests.support.client import Api
from tests.system.faults.books import Line, UserBooks, read_books
from tests.system.faults.history import Attempt, Read, UserHistory
from tests.system.faults.judge import canonical, judge

USER = "u"


def line_of(seq: int, key: str, kind: str, credits: int, balance: int, related: int | None = None) -> Line:
    source = "topup" if kind == "grant" else None
    return Line(
        seq, f"id-{seq}", kind, None if source else "AI_TEXT_CHAT", credits, balance, 0, related, source, None, None, key,
        bytes(16), "key", None, None, 1_000 + seq, bytes(32),
    )  # fmt: skip


def chained(books: UserBooks) -> UserBooks:
    """With hashes, account, balance and usage as they follow from the lines."""
    head = bytes(32)
    for place, line in enumerate(books.lines):
        head = sha256(head + sha256(canonical(USER, line)).digest()).digest()
        books.lines[place] = line._replace(hash=head)
    last = books.lines[-1]
    books.account = (last.seq, last.balance_after, 0, head)
    books.balance = last.balance_after
    books.usage = {line.id: -line.credits for line in books.lines if line.kind in {"deduct", "refund"}}
    return books


def attempt(key: str, kind: str, credits: int, at: int, told: tuple[object, ...], entry: str | None = None) -> Attempt:
    made = Attempt([USER, key, kind, credits, entry], at)
    made.tell(list(told), at + 5)
    return made


def trial() -> tuple[UserHistory, UserBooks]:
    """A grant, two deducts one after the other, a refusal, a refund and a read."""
    history, books = UserHistory(), UserBooks()
    history.start = ("grant", 100)
    books.lines = [
        line_of(1, "§signup", "grant", 100, 100), line_of(2, "a", "deduct", -30, 70), line_of(3, "b", "deduct", -10, 60),
        line_of(4, "r", "refund", 5, 65, 2),
    ]  # fmt: skip
    chained(books)
    history.attempts = {
        "a": [attempt("a", "deduct", 30, 10, (201, None, None, "id-2", 2, 30, 70))],
        "b": [attempt("b", "deduct", 10, 20, (201, None, None, "id-3", 3, 10, 60))],
        "c": [attempt("c", "deduct", 99, 30, (402, "insufficient_credits", None, None, None, None, 60))],
        "r": [attempt("r", "refund", 5, 40, (201, None, None, "id-4", 4, 5, 65), "id-2")],
    }
    books.refusals["c"] = "insufficient_credits"
    history.reads = [Read(50, 55, 4, 65)]
    return history, books


def names(history: UserHistory, books: UserBooks) -> set[str]:
    return {fault.name for fault in judge({USER: history}, {USER: books})}


def test_an_honest_trial_has_no_faults() -> None:
    assert names(*trial()) == set()


def lost(history: UserHistory, books: UserBooks) -> None:
    del books.lines[-1]
    chained(books)


def duplicated(history: UserHistory, books: UserBooks) -> None:
    books.lines.append(line_of(5, "b", "deduct", -10, 55))
    chained(books)


def invented(history: UserHistory, books: UserBooks) -> None:
    books.lines.append(line_of(5, "nobody", "deduct", -10, 55))
    chained(books)


def reordered(history: UserHistory, books: UserBooks) -> None:
    history.attempts["a"][0].sent_at, history.attempts["a"][0].told_at = 26, 29


def refused_yet_applied(history: UserHistory, books: UserBooks) -> None:
    books.lines.append(line_of(5, "c", "deduct", -60, 5))
    chained(books)


def failed_yet_applied(history: UserHistory, books: UserBooks) -> None:
    history.attempts["b"][0].tell([503, "unavailable", "not_applied", None, None, None, None], 25)


def changed(history: UserHistory, books: UserBooks) -> None:
    books.lines[1] = books.lines[1]._replace(credits=-31, balance_after=69)
    books.lines[2] = books.lines[2]._replace(balance_after=59)
    books.lines[3] = books.lines[3]._replace(balance_after=64)
    chained(books)


def gap(history: UserHistory, books: UserBooks) -> None:
    books.lines[3] = books.lines[3]._replace(seq=5)


def wrong_balance(history: UserHistory, books: UserBooks) -> None:
    books.lines[3] = books.lines[3]._replace(balance_after=66)
    chained(books)


def overdrawn(history: UserHistory, books: UserBooks) -> None:
    books.lines.append(line_of(5, "d", "deduct", -70, -5))
    chained(books)


def refunded_too_much(history: UserHistory, books: UserBooks) -> None:
    books.lines.append(line_of(5, "s", "refund", 30, 95, 2))
    chained(books)


def broken_chain(history: UserHistory, books: UserBooks) -> None:
    books.lines[1] = books.lines[1]._replace(details='{"edited": true}')


def account_disagrees(history: UserHistory, books: UserBooks) -> None:
    books.account = (4, 64, 0, books.lines[-1].hash)


def balance_disagrees(history: UserHistory, books: UserBooks) -> None:
    books.balance = 64


def usage_disagrees(history: UserHistory, books: UserBooks) -> None:
    del books.usage["id-3"]


def answers_disagree(history: UserHistory, books: UserBooks) -> None:
    history.attempts["a"].append(
        attempt("a", "deduct", 30, 60, (402, "insufficient_credits", None, None, None, None, 5))
    )


def wrong_refusal(history: UserHistory, books: UserBooks) -> None:
    history.attempts["c"][0].tell([402, "insufficient_credits", None, None, None, None, 12], 35)


def stale_read(history: UserHistory, books: UserBooks) -> None:
    history.reads = [Read(50, 55, 2, 70)]


def wrong_read(history: UserHistory, books: UserBooks) -> None:
    history.reads = [Read(50, 55, 4, 60)]


TAMPERINGS = (
    lost, duplicated, invented, reordered, refused_yet_applied, failed_yet_applied, changed, gap, wrong_balance, overdrawn,
    refunded_too_much, broken_chain, account_disagrees, balance_disagrees, usage_disagrees, answers_disagree, wrong_refusal,
    stale_read, wrong_read,
)  # fmt: skip


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
def test_each_fault_is_named(tamper: Callable[[UserHistory, UserBooks], None]) -> None:
    history, books = trial()
    tamper(history, books)
    name = tamper.__name__.replace("_", " ")
    assert {"failed yet applied": "refused yet applied"}.get(name, name) in names(history, books)


async def test_what_a_daemon_writes_of_lots_and_holds_is_no_fault_but_that_nobody_asked(
    api: Api, database_url: str
) -> None:
    user = await api.user(50)
    await api.grant(user, 10, expiresIn=1, rollover={"percent": 50, "expiresIn": 3600})
    await api.grant(user, 10, expiresIn=3600)
    entry = (await api.deduct(user, 12)).json["entryId"]
    await api.refund(user, entryId=entry, credits=2)
    hold = (await api.hold(user, 5)).json["entryId"]
    await api.capture(hold, 3)
    await api.hold(user, 5, expiresIn=5, onLapse="capture_all")
    while (await api.get(f"/v1/users/{user}/balance")).json["creditsHeld"]:
        await asyncio.sleep(0.1)
    await api.deduct(user, 1)
    books = await read_books(database_url)
    lines = books[user].lines
    assert {line.key.partition(":")[0] for line in lines if ":" in line.key} >= {"§lapse"}
    assert [line.effects is None for line in lines].count(False) > 5
    history = UserHistory()
    told = {(fault.name, fault.what.split(",")[0]) for fault in judge({user: history}, books)}
    asked = {
        ("invented", f"seq {line.seq}") for line in lines if not line.key.startswith(("§lapse", "§expire", "§rollover"))
    }
    assert told == asked
    place = next(place for place, line in enumerate(lines) if line.effects is not None)
    lines[place] = lines[place]._replace(effects=(lines[place].effects or "").replace("1", "2"))
    assert "broken chain" in {fault.name for fault in judge({user: history}, books)}
