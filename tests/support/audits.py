"""The audit of one user's entries, as `verify` makes it."""

from collections.abc import Iterable

from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.evidence.audit import AccountSnapshot, UserAudit


def assert_audited(account: Account, entries: Iterable[Entry]) -> None:
    """The audit recomputes every entry, and comes to the same open state."""
    audit = UserAudit(account.user_id)
    for entry in entries:
        audit.follow(entry)
    finding = audit.close(
        AccountSnapshot(
            account.user_id, account.seq, account.posted, account.held, account.head, account.posted, account.open
        )
    )
    assert finding is None, finding
