"""What was written before lots and holds came stays what it was, byte for byte (property P2)."""

import pytest

from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.decide import Facts
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.operations import Adjustment, Deduct, Grant, Opening, Operation, Recovery, Refund, fingerprint
from pedro_ledger.ledger.units import Unit

PINNED: list[tuple[Operation, str]] = [
    (Deduct("k", "a", "AI_TEXT_CHAT", 30, '{"a":1}'), "b6f77223268992cf4aa222cd921886bf"),
    (Deduct("k", "a", "AI_TEXT_CHAT"), "be08c7707653b594f13618f92c682bb5"),
    (Refund("k", "a", "01X", 3, None, 5, None), "0050a2249774204f8ede8a6130ffce79"),
    (Refund("k", "a", None, None, "AI_TEXT_CHAT", 5, '{"b":2}'), "99db92a0e5e55e1d3d34a08188c5741d"),
    (Grant("k", "a", 100, "topup"), "c51f3e481ca9060b02916f2940d94729"),
    (Grant("k", "a", 100, "promo", '{"c":3}'), "538716809c53ba2e87a7a3f5124471f8"),
    (Opening("k", "a", 7), "9a250dcb155dc366a86f59d1a6735d4e"),
    (Adjustment("k", "a", -3, "correction"), "b95a62ab71594f8f694d3bac7845cd36"),
    (Recovery("k", "a", 9, "plan"), "fcfe7b3acaa381f01da34dc4b17c6d69"),
]
"""Computed by version 0.1.0."""


@pytest.mark.parametrize(("operation", "expected"), PINNED)
def test_a_retry_across_the_upgrade_is_the_same_request(operation: Operation, expected: str) -> None:
    assert fingerprint(operation).hex() == expected


def test_new_fields_tell_requests_apart() -> None:
    plain = Grant("k", "a", 100, "topup")
    others = [
        plain._replace(expires_in_s=60), plain._replace(expires_at_ms=60), plain._replace(priority=50),
        Deduct("k", "a", "AI_TEXT_CHAT", on_behalf_of="ana"), Deduct("k", "a", "AI_TEXT_CHAT", on_behalf_of="bob"),
    ]  # fmt: skip
    assert len({fingerprint(each) for each in (plain, *others)}) == 6


def test_plain_entries_hash_as_they_did() -> None:
    """The head after these operations, as version 0.1.0 computed it."""
    unit: Unit[None] = Unit(Account.new("u1", "pro"), Facts(), 1_795_000_000_000)
    for operation in (
        Grant("k1", "a", 100, "topup", '{"c":3}'), Deduct("k2", "a", "AI_TEXT_CHAT", 30, '{"a":1}'),
        Refund("k3", "a", None, None, "AI_TEXT_CHAT", 5), Adjustment("k4", "a", -3, "correction"),
    ):  # fmt: skip
        unit.add(None, operation)
    entries = [entry for _, entry in unit.decided if isinstance(entry, Entry)]
    assert [entry.effects for entry in entries] == [None] * 4
    assert unit.seal().head.hex() == "0bb33b9c695720f81ca626335978c216634e69a29567b951cec656dd113ff355"
