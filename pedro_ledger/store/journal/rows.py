"""Rows as PostgreSQL's `to_jsonb` writes them, read back into the ledger's words."""

from datetime import datetime
from typing import Any

from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.errors import REMEMBERED, Refusal
from pedro_ledger.ledger.open_items import parse
from pedro_ledger.ledger.units import Stored

Row = dict[str, Any]


def account_of(row: Row) -> Account:
    """An account from a row of `pedro_ledger.account`."""
    return Account(
        row["user_id"],
        row["tag"],
        row["plan_id"] or row["plan_key"],  # the key alone where events of before are not brought up to date yet
        row["revision"],
        row["seq"],
        row["posted"],
        row["held"],
        _bytes(row["head"]),
        parse(row["open_items"]),
    )


def entry_of(row: Row) -> Entry:
    """An entry from a row of `pedro_ledger.entry`."""
    return Entry(
        row["seq"],
        row["id"],
        row["kind"],
        row["operation_type"],
        row["credits"],
        row["balance_after"],
        row["held_after"],
        row["related_seq"],
        row["source"],
        _ms(row["expires_at"]) if row["expires_at"] else None,
        row["priority"],
        row["idempotency_key"],
        _bytes(row["fingerprint"]),
        row["actor"],
        row["price"],
        row["details"],
        _ms(row["created_at"]),
        _bytes(row["hash"]),
        row["effects"],
    )


def stored_entry_of(row: Row) -> tuple[str, Stored]:
    """The idempotency key of an entry, and the answer under it."""
    entry = entry_of(row)
    return entry.key, Stored(entry.fingerprint, entry, None)


def stored_refusal_of(row: Row) -> tuple[str, Stored]:
    """The idempotency key of a remembered refusal, and the answer under it.

    A code that only a newer version knows is told as it is: replicas of two versions share a
    database while they are replaced.
    """
    facts, code = dict(row["facts"]), row["code"]
    kind = REMEMBERED.get(code)
    if kind is None:
        facts["code"] = code
    refusal = (kind or Refusal)(facts.pop("detail"), **facts)
    return row["idempotency_key"], Stored(_bytes(row["fingerprint"]), None, refusal)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
