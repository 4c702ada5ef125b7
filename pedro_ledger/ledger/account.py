"""A user's state, derived from the user's entries."""

from collections.abc import Sequence
from typing import NamedTuple

from pedro_ledger.ledger.chain import GENESIS
from pedro_ledger.ledger.ids import account_tag

CREDITS_MAX = 2**31 - 1
"""The app's balance is a PostgreSQL integer."""


class Account(NamedTuple):
    """Where a user stands after entry `seq`. Credits are whole; `0 <= held <= posted <= CREDITS_MAX`."""

    user_id: str
    tag: str
    plan_key: str | None
    revision: int
    """Moves at every write, remembered refusals included; a commit takes effect only on the revision it was decided on."""
    seq: int
    posted: int
    held: int
    head: bytes
    """Hash of the last entry."""

    @property
    def available(self) -> int:
        """Credits that can be spent."""
        return self.posted - self.held

    @classmethod
    def new(cls, user_id: str, plan_key: str | None = None) -> "Account":
        """An account before its first entry."""
        return cls(user_id, account_tag(user_id), plan_key, 0, 0, 0, 0, GENESIS)


class Original(NamedTuple):
    """What a linked refund must know of the entry it refunds, as of one revision of the account."""

    seq: int
    entry_id: str
    kind: str
    operation_type: str | None
    credits_used: int
    credits_refunded: int

    @property
    def refundable(self) -> int:
        """Credits of the entry that no refund gave back yet."""
        return self.credits_used - self.credits_refunded


class AccountQuery(NamedTuple):
    """An account to load, by `User.id` or `clerk:` and the Clerk id, with the entries that refunds name, by seq."""

    ref: str
    original_seqs: Sequence[int]


class Loaded(NamedTuple):
    """An account and the entries that were asked for with it, all as of one moment; an entry that is not there is None."""

    account: Account
    originals: dict[int, Original | None]
