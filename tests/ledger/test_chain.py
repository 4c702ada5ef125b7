"""The hash chain, checked as another program would: from its description alone."""

from hashlib import sha256
from typing import Any

import pytest

from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.decide import Facts
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.evidence.audit import AccountSnapshot, UserAudit
from pedro_ledger.ledger.operations import Deduct, Grant, Operation
from pedro_ledger.ledger.units import Unit


def entries() -> tuple[list[Entry], Account]:
    asked: list[Operation] = [Grant("g", "a", 100, "signup")]
    asked += [Deduct(f"k{number}", "b", "X", number, '{"é":1}' if number % 2 else None) for number in range(1, 6)]
    unit: Unit[None] = Unit(Account.new("user ü"), Facts(), 1_795_000_000_123)
    for operation in asked:
        unit.add(None, operation)
    return [decided for _, decided in unit.decided if isinstance(decided, Entry)], unit.seal()


def test_the_hash_follows_from_its_description() -> None:
    previous = bytes(32)
    for entry in entries()[0]:
        fields = [
            "pedro1", "user ü", entry.seq, entry.id, entry.kind, entry.operation_type, entry.credits, entry.balance_after,
            entry.held_after, entry.related_seq, entry.source, entry.expires_at_ms, entry.priority, entry.key,
            entry.fingerprint.hex(), entry.actor, entry.price, entry.details, entry.at_ms,
        ]  # fmt: skip
        canonical = b"\0".join(b"" if field is None else str(field).encode() for field in fields)
        previous = sha256(previous + sha256(canonical).digest()).digest()
        assert entry.hash == previous


def test_the_hash_is_the_one_that_was_published() -> None:
    """A change of the canonical form would orphan every ledger that exists."""
    assert entries()[1].head.hex() == "258f0651f030f5892891a53abeb72a2f3a176fd5f872372bc1509f8c7b8ab755"


def snapshot(account: Account, **changes: Any) -> AccountSnapshot:
    return AccountSnapshot(
        account.user_id, account.seq, account.posted, account.held, account.head, account.posted
    )._replace(**changes)


def test_an_untouched_ledger_is_in_order() -> None:
    made, account = entries()
    audit = UserAudit(account.user_id)
    for entry in made:
        audit.follow(entry)
    assert audit.close(snapshot(account)) is None


@pytest.mark.parametrize(
    ("tamper", "seq"),
    [
        (lambda made: made[:2] + made[3:], 3),
        (lambda made: made[:-1], 6),
        (lambda made: [*made[:2], made[3], made[2], *made[4:]], 3),
        (lambda made: [*made[:3], made[2], *made[3:]], 4),
        (lambda made: [*made[:2], made[2]._replace(credits=-1), *made[3:]], 3),
        (lambda made: [*made[:2], made[2]._replace(credits=-1, balance_after=98), *made[3:]], 3),
        (lambda made: [*made[:2], made[2]._replace(details="{}"), *made[3:]], 3),
        (lambda made: [*made[:2], made[2]._replace(actor="c"), *made[3:]], 3),
        (lambda made: [*made[:2], made[2]._replace(at_ms=1), *made[3:]], 3),
        (lambda made: [], 1),
    ],
    ids=[
        "deleted",
        "cut off",
        "reordered",
        "inserted",
        "amount",
        "amount and balance",
        "details",
        "actor",
        "time",
        "emptied",
    ],
)
def test_a_tampered_ledger_is_found_at_its_first_bad_entry(tamper: object, seq: int) -> None:
    made, account = entries()
    audit = UserAudit(account.user_id)
    for entry in tamper(made):  # type: ignore[operator]
        audit.follow(entry)
    found = audit.close(snapshot(account))
    assert found is not None
    assert (found.user_id, found.seq) == ("user ü", seq)


@pytest.mark.parametrize("changes", [{"posted": 1}, {"held": 1}, {"shown": 1}, {"seq": 7}])
def test_an_account_that_differs_from_its_entries_is_found(changes: dict[str, int]) -> None:
    made, account = entries()
    audit = UserAudit(account.user_id)
    for entry in made:
        audit.follow(entry)
    assert audit.close(snapshot(account, **changes)) is not None


@pytest.mark.parametrize(
    ("changes", "seq", "what"),
    [
        ({"posted": 1}, 6, "the account has"),
        ({"held": 1}, 6, "the account has"),
        ({"shown": 1}, None, "the app is shown 1 credits of"),
        ({"seq": 7}, 7, "the account has 7 entries, of which 6 are there"),
        ({"head": bytes(32)}, 6, "the account's head is not the hash of its last entry"),
    ],
)
def test_a_difference_is_named_with_its_place(changes: dict[str, Any], seq: int | None, what: str) -> None:
    made, account = entries()
    audit = UserAudit(account.user_id)
    for entry in made:
        audit.follow(entry)
    found = audit.close(snapshot(account, **changes))
    assert found is not None
    assert found.seq == seq
    assert found.what.startswith(what)


def test_a_ledger_without_its_account_is_found() -> None:
    made, account = entries()
    audit = UserAudit(account.user_id)
    for entry in made:
        audit.follow(entry)
    assert audit.close(None) == (account.user_id, None, "there are entries and no account")
