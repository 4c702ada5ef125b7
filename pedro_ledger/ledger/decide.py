"""The rules: what an operation does to an account. Pure; time, prices and earlier entries are handed in."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pedro_ledger.ledger.account import CREDITS_MAX, Account, Original
from pedro_ledger.ledger.chain import entry_hash
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.errors import (
    AccountFull,
    BalanceLimitExceeded,
    EntryNotFound,
    EntryNotRefundable,
    InsufficientCredits,
    NoPrice,
    RefundExceedsEntry,
    Refusal,
)
from pedro_ledger.ledger.ids import SEQ_MAX, entry_id
from pedro_ledger.ledger.operations import (
    Adjustment,
    Deduct,
    Grant,
    Opening,
    Operation,
    Recovery,
    Refund,
    fingerprint,
)
from pedro_ledger.ledger.prices import PriceBook

REFUNDABLE_KINDS = frozenset({"deduct", "capture"})


class Facts(NamedTuple):
    """What a decision may look at beside the account: prices, and the entries that linked refunds name."""

    prices: PriceBook = PriceBook()
    originals: Mapping[int, Original | None] = {}


class Change(NamedTuple):
    """What a rule found: the entry's own fields, before it has a place in the ledger."""

    kind: str
    credits: int
    operation_type: str | None = None
    related_seq: int | None = None
    source: str | None = None
    price: str | None = None


Decision = tuple[Account, Entry] | Refusal


def decide(account: Account, operation: Operation, now_ms: int, facts: Facts) -> Decision:
    """The account after `operation` with the entry that says so, or why not. `now_ms` is milliseconds since 1970."""
    change = _RULES[type(operation)](account, operation, facts)
    if isinstance(change, Refusal):
        return change
    return _append(account, operation, change, now_ms)


def _append(account: Account, operation: Operation, change: Change, now_ms: int) -> Decision:
    posted = account.posted + change.credits
    if posted > CREDITS_MAX:
        return BalanceLimitExceeded(
            f"The balance would be {posted} credits; at most {CREDITS_MAX} fit.", creditsMax=CREDITS_MAX
        )
    seq = account.seq + 1
    if seq > SEQ_MAX:
        return AccountFull(f"The account has {SEQ_MAX} entries and cannot take more.")
    assert 0 <= account.held <= posted, "a rule let the balance fall below what is held"
    fields = (
        seq, entry_id(now_ms, account.tag, seq), change.kind, change.operation_type, change.credits, posted, account.held,
        change.related_seq, change.source, None, None, operation.key, fingerprint(operation), operation.actor, change.price,
        operation.details, now_ms,
    )  # fmt: skip
    head = entry_hash(account.head, account.user_id, fields)
    after = Account(
        account.user_id, account.tag, account.plan_key, account.revision, seq, posted, account.held, head
    )  # fmt: skip
    return after, Entry._make((*fields, head))


def _deduct(account: Account, operation: Deduct, facts: Facts) -> Change | Refusal:
    credits, provenance = operation.credits, None
    if credits is None:
        price = facts.prices.find(account.plan_key, operation.operation_type)
        if price is None:
            return NoPrice(
                f"No price is set for {operation.operation_type}: send credits, or set it in AdminSettings.featureCosts.",
                operationType=operation.operation_type,
            )
        credits, provenance = price
    if credits > account.available:
        return _insufficient(account, credits)
    return Change("deduct", -credits, operation.operation_type, price=provenance)


def _refund(account: Account, operation: Refund, facts: Facts) -> Change | Refusal:
    if operation.entry_seq is None:
        assert operation.credits is not None, "a refund without an entry names its credits"
        return Change("refund", operation.credits, operation.operation_type)
    original = facts.originals.get(operation.entry_seq)
    if original is None or original.entry_id != operation.entry_id:
        return EntryNotFound(f"The user has no entry {operation.entry_id}.", entryId=operation.entry_id)
    if original.kind not in REFUNDABLE_KINDS:
        return EntryNotRefundable(
            f"Entry {operation.entry_id} is a {original.kind}; only a deduct can be refunded.",
            entryId=operation.entry_id,
            type=original.kind,
        )
    left = original.refundable
    credits = left if operation.credits is None else operation.credits
    if credits > left or (left == 0 and original.credits_used > 0):
        return RefundExceedsEntry(
            f"Entry {operation.entry_id} used {original.credits_used} credits, of which {left} are left to refund.",
            entryId=operation.entry_id,
            creditsUsed=original.credits_used,
            creditsRefundable=left,
        )
    return Change("refund", credits, original.operation_type, related_seq=original.seq)


def _grant(account: Account, operation: Grant, facts: Facts) -> Change:
    return Change("grant", operation.credits, source=operation.source)


def _opening(account: Account, operation: Opening, facts: Facts) -> Change:
    assert account.seq == 0, "only the first entry opens an account"
    return Change("opening", operation.credits)


def _adjustment(account: Account, operation: Adjustment, facts: Facts) -> Change | Refusal:
    if -operation.credits > account.available:
        return _insufficient(account, -operation.credits)
    return Change("adjustment", operation.credits, source=operation.source)


def _recovery(account: Account, operation: Recovery, facts: Facts) -> Change:
    return Change("adjustment", -min(operation.credits, account.available), source=operation.source)


def _insufficient(account: Account, credits: int) -> InsufficientCredits:
    return InsufficientCredits(
        f"The operation needs {credits} credits; {account.available} are available.",
        creditsRequired=credits,
        creditsAvailable=account.available,
    )


_RULES: Mapping[type, Callable[[Account, Any, Facts], Change | Refusal]] = {
    Deduct: _deduct,
    Refund: _refund,
    Grant: _grant,
    Opening: _opening,
    Adjustment: _adjustment,
    Recovery: _recovery,
}
