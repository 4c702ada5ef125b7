"""What a rule does to an account, and how that becomes the next entry."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pedro_ledger.ledger.account import CREDITS_MAX, Account
from pedro_ledger.ledger.chain import entry_hash
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.errors import AccountFull, BalanceLimitExceeded, Refusal
from pedro_ledger.ledger.ids import SEQ_MAX, entry_id
from pedro_ledger.ledger.meters import Spending, counted
from pedro_ledger.ledger.open_items import BASE, Open, Shares, with_limits_of
from pedro_ledger.ledger.operations import AnyOperation, fingerprint

SPENDING_KINDS = frozenset({"deduct", "capture"})
"""Kinds of entries that count against spend limits."""


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
    given_back: tuple[int, str | None] | None = None
    """Of a refund that names an entry: when that was made, in milliseconds since 1970, and for
    whom.
    """


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
    state = account.open if isinstance(change.open, Same) else change.open
    if account.open is not None:
        state = _with_meters(account.open, state, change, now_ms)
    after = Account(account.user_id, account.tag, account.plan_id, account.revision, seq, posted, held, head, state)
    return after, Entry._make((*fields, head, effects))


def _with_meters(before: Open, after: Open | None, change: Change, now_ms: int) -> Open | None:
    """The open state with what the change spent counted."""
    state = after if after is before else with_limits_of(before, after)
    if state is None or not before.meters or (spending := _spending(change)) is None:
        return state
    meters = counted(before.meters, spending, now_ms)
    return state if meters is before.meters else state._replace(meters=meters)


def _spending(change: Change) -> Spending | None:
    if change.kind in SPENDING_KINDS:
        return Spending(-change.credits, change.operation_type, (change.effects or {}).get("onBehalfOf"))
    if change.given_back is not None:
        at_ms, on_behalf_of = change.given_back
        return Spending(-change.credits, change.operation_type, on_behalf_of, at_ms)
    return None


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
