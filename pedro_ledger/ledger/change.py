"""What a rule does to an account, and how that becomes the next entry."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pedro_ledger.ledger.account import CREDITS_MAX, Account
from pedro_ledger.ledger.chain import entry_hash
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.errors import AccountFull, BalanceLimitExceeded, Refusal
from pedro_ledger.ledger.ids import SEQ_MAX, entry_id
from pedro_ledger.ledger.open_items import BASE, Open, Shares
from pedro_ledger.ledger.operations import AnyOperation, fingerprint


class Same:
    """In place of an open state: it stays as it is."""


SAME = Same()


class Change(NamedTuple):
    """What a rule found: the entry's own fields, before it has a place in the ledger."""

    kind: str
    credits: int
    """Signed change of posted."""
    operation_type: str | None = None
    related_seq: int | None = None
    source: str | None = None
    price: str | None = None
    held: int = 0
    """Signed change of held."""
    expires_at_ms: int | None = None
    priority: int | None = None
    effects: Mapping[str, Any] | None = None
    """What the entry does beyond a plain one; None where it does nothing more."""
    open: Open | Same | None = SAME


def append(account: Account, operation: AnyOperation, change: Change, now_ms: int) -> tuple[Account, Entry] | Refusal:
    """The account after `change`, with the entry that says so; or why it has no room for it.

    `now_ms` is since 1970.
    """
    posted = account.posted + change.credits
    if posted > CREDITS_MAX:
        return BalanceLimitExceeded(
            f"The balance would be {posted} credits; at most {CREDITS_MAX} fit.", creditsMax=CREDITS_MAX
        )
    seq = account.seq + 1
    if seq > SEQ_MAX:
        return AccountFull(f"The account has {SEQ_MAX} entries and cannot take more.")
    held = account.held + change.held
    assert 0 <= held <= posted, "a rule let the balance fall below what is held"
    fields = (
        seq, entry_id(now_ms, account.tag, seq), change.kind, change.operation_type, change.credits, posted, held,
        change.related_seq, change.source, change.expires_at_ms, change.priority, operation.key, fingerprint(operation),
        operation.actor, change.price, operation.details, now_ms,
    )  # fmt: skip
    effects = effects_text(change.effects) if change.effects else None
    head = entry_hash(account.head, account.user_id, fields if effects is None else (*fields, b"", effects))
    state = change.open
    after = Account(
        account.user_id, account.tag, account.plan_id, account.revision, seq, posted, held, head,
        account.open if state is SAME else state,  # type: ignore[arg-type]
    )  # fmt: skip
    return after, Entry._make((*fields, head, effects))


def effects_text(effects: Mapping[str, Any]) -> str:
    """Effects as they are kept and hashed: compact JSON with sorted keys."""
    return json.dumps(effects, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def shares_effect(shares: Shares, sign: int = 1) -> list[list[int]] | None:
    """Shares as effects show them; None where they are the base's alone, which is what a missing
    field means.
    """
    if all(seq == BASE for seq, _ in shares):
        return None
    return [[seq, sign * credits] for seq, credits in shares]


def said(**effects: Any) -> dict[str, Any]:
    """Effects without those that say nothing."""
    return {name: value for name, value in effects.items() if value is not None and value is not False and value != 0}
