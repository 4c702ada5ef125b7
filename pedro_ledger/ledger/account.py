"""A user's state, derived from the user's entries."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pedro_ledger.ledger.chain import GENESIS
from pedro_ledger.ledger.ids import account_tag
from pedro_ledger.ledger.meters import Meter, MeterQuery
from pedro_ledger.ledger.open_items import NEVER, Lot, Open, OpenHold, Shares

CREDITS_MAX = 2**31 - 1
"""The app's balance is a PostgreSQL integer."""


CLERK_MOVE = 1 << 40
"""What the revision moves by when the user's Clerk id changes (migration 0016), far beyond what
commits ever move it by.
"""


class Account(NamedTuple):
    """Where a user stands after entry `seq`.

    Credits are whole; `0 <= held <= posted <= CREDITS_MAX`.
    """

    user_id: str
    tag: str
    plan_id: str | None
    """`Plan.id` of the plan that prices this user."""
    revision: int
    """Moves at every write, remembered refusals included; a commit takes effect only on the
    revision it was decided on.
    """
    seq: int
    posted: int
    held: int
    head: bytes
    """Hash of the last entry."""
    open: Open | None = None
    """Open lots and holds; None for a plain account, which has neither."""

    @property
    def clerk_moves(self) -> int:
        """How often the user's Clerk id has changed."""
        return self.revision // CLERK_MOVE

    @property
    def available(self) -> int:
        """Credits that can be spent."""
        return self.posted - self.held

    @property
    def base(self) -> int:
        """Credits that can be spent and belong to no lot."""
        return self.posted - self.held - (0 if self.open is None else self.open.free)

    @property
    def due_ms(self) -> int:
        """The first moment at which something must be booked; `NEVER` for a plain account."""
        return NEVER if self.open is None else self.open.due_ms

    @classmethod
    def new(cls, user_id: str, plan_id: str | None = None) -> "Account":
        """An account before its first entry."""
        return cls(user_id, account_tag(user_id), plan_id, 0, 0, 0, 0, GENESIS)


class Closing(NamedTuple):
    """How a hold ended."""

    entry_id: str
    """Of the entry that closed it."""
    kind: str
    """`capture` where it was captured finally, `void`, `expiry` where it lapsed and all went
    back.
    """
    at_ms: int
    has_lapsed: bool
    """Whether its end or its lease closed it; a capture of what a heartbeat told may come with
    that.
    """
    lapse_captured: int = 0
    """Credits that the lapse itself captured."""
    is_captured_late: bool = False


class Original(NamedTuple):
    """What an operation must know of an earlier entry that it names, as of one revision of the
    account.
    """

    seq: int
    entry_id: str
    kind: str
    operation_type: str | None
    credits_used: int
    """Of a hold: credits that were captured, within it and beyond it."""
    credits_refunded: int
    spent: Shares | None = None
    """Where its credits came from; None: the base."""
    terms: Mapping[int, Lot] = {}
    """The lots of `spent`, as their grants made them."""
    hold: OpenHold | None = None
    """Of a hold: as it was made."""
    closing: Closing | None = None
    """Of a hold: how it ended; None while it is open."""
    on_behalf_of: str | None = None

    @property
    def refundable(self) -> int:
        """Credits of the entry that no refund gave back yet."""
        return self.credits_used - self.credits_refunded


class AccountQuery(NamedTuple):
    """An account to load, by `User.id` or `clerk:` and the Clerk id, with the entries that refunds
    name, by seq.
    """

    ref: str
    original_seqs: Sequence[int]
    meters: Sequence[MeterQuery] = ()
    """What was spent in windows of spend limits that are new to the account."""


class Loaded(NamedTuple):
    """An account and the entries that were asked for with it, all as of one moment; an entry that
    is not there is None.
    """

    account: Account
    originals: dict[int, Original | None]
    meters: Sequence[Meter] = ()


class Unadopted(NamedTuple):
    """A user whom the app made, and who has no account yet."""

    user_id: str
