"""Every way in which the ledger says no.

A class's docstring is the error's title, `code` its stable name, `facts` what helps the caller
(camelCase, as in the API).
"""

from typing import Any, ClassVar


class LedgerError(Exception):
    """The operation was not applied"""

    code: ClassVar[str] = "ledger_error"

    def __init__(self, detail: str, **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.facts = facts

    @property
    def title(self) -> str:
        """What happened, in the same words for every occurrence."""
        return (type(self).__doc__ or "").strip()


class Refusal(LedgerError):
    """The ledger's rules refuse the operation"""

    code = "refused"
    remembered: ClassVar[bool] = False
    """Whether the refusal is kept under its idempotency key and repeated."""


class InsufficientCredits(Refusal):
    """Not enough credits"""

    code = "insufficient_credits"
    remembered = True


class RefundExceedsEntry(Refusal):
    """The refund exceeds what is left of the entry"""

    code = "refund_exceeds_entry"
    remembered = True


class EntryNotRefundable(Refusal):
    """Only a deduct can be refunded"""

    code = "entry_not_refundable"


class EntryNotFound(Refusal):
    """No such entry"""

    code = "entry_not_found"


class NoPrice(Refusal):
    """The operation has no price"""

    code = "no_price"


class BalanceLimitExceeded(Refusal):
    """The balance would pass its limit"""

    code = "balance_limit_exceeded"


class AccountFull(Refusal):
    """The account holds as many entries as it can"""

    code = "account_full"


class OperationRejected(Refusal):
    """The database refuses the operation"""

    code = "operation_rejected"


class GrantAlreadyExpired(Refusal):
    """The grant would have ended already"""

    code = "grant_already_expired"


class GrantEndsTooLate(Refusal):
    """The grant would last longer than ten years"""

    code = "grant_ends_too_late"


class TooManyOpenGrants(Refusal):
    """The user has as many grants that end as it can"""

    code = "too_many_open_grants"


class RecurringGrantNotFound(Refusal):
    """No such recurring grant"""

    code = "recurring_grant_not_found"


class TooManyRecurringGrants(Refusal):
    """The user has as many recurring grants as it can"""

    code = "too_many_recurring_grants"


class TooManyOpenHolds(Refusal):
    """The user has as many open holds as it can"""

    code = "too_many_open_holds"


class HoldReferenceInUse(Refusal):
    """Another open hold has this reference"""

    code = "hold_reference_in_use"


class HoldNotFound(Refusal):
    """No such hold"""

    code = "hold_not_found"


class HoldClosed(Refusal):
    """The hold is closed"""

    code = "hold_closed"


class HoldLapsed(Refusal):
    """The hold has lapsed"""

    code = "hold_lapsed"


class CaptureExceedsHold(Refusal):
    """The capture exceeds what is held"""

    code = "capture_exceeds_hold"


class SpendLimitExceeded(Refusal):
    """A spend limit is reached"""

    code = "spend_limit_exceeded"
    remembered = True


class LimitNotFound(Refusal):
    """No such limit"""

    code = "limit_not_found"


class TooManyLimits(Refusal):
    """There are as many limits as there can be"""

    code = "too_many_limits"


class UserNotFound(LedgerError):
    """No such user"""

    code = "user_not_found"


class BalanceNotKnown(LedgerError):
    """The ledger does not reach back so far"""

    code = "balance_not_known"


class Conflict(LedgerError):
    """The request conflicts with what is there"""

    code = "conflict"


class IdempotencyKeyReused(LedgerError):
    """The idempotency key belongs to another request"""

    code = "idempotency_key_reused"


class TooManyStreams(LedgerError):
    """The user has as many streams as it may have"""

    code = "too_many_streams"


class Overloaded(LedgerError):
    """Too much is waiting"""

    code = "overloaded"


class Unavailable(LedgerError):
    """The ledger cannot answer now"""

    code = "unavailable"


class SchemaChanged(Unavailable):
    """The app's database schema is in the way"""

    code = "schema_changed"


class Busy(Unavailable):
    """Something else has locked a row of the user"""

    code = "busy"


class OperatorError(Exception):
    """What whoever runs the ledger can mend.

    The message is one line that says what is wrong and what to do.
    """


class NotCommitted(Exception):
    """A batch that certainly did not take effect.

    `poisoned`: one of its operations is to blame, so split it. `error` is what that operation is
    told (by default that the database refuses it); where none is to blame, what all are told at
    once. Without either, the batch is tried again.
    """

    def __init__(self, reason: str, *, poisoned: bool, error: LedgerError | None = None) -> None:
        super().__init__(reason)
        self.poisoned = poisoned
        if poisoned and error is None:
            error = OperationRejected(f"The database refuses this operation: {reason}.")
        self.error = error
        self.locked_users: frozenset[str] = frozenset()
        """Users of the batch whose rows somebody else has locked.

        The others can be committed without them.
        """


class NotServed(Exception):
    """A query about several users that the database refuses.

    `error` is what callers are told. One of the users is to blame, who is found by halving, unless
    `is_everybodys`.
    """

    def __init__(self, error: LedgerError, *, is_everybodys: bool = False) -> None:
        super().__init__(error.detail)
        self.error = error
        self.is_everybodys = is_everybodys


class OutcomeUnknown(Exception):
    """A batch that may or may not have taken effect."""


REMEMBERED: dict[str, type[Refusal]] = {
    kind.code: kind for kind in (InsufficientCredits, RefundExceedsEntry, SpendLimitExceeded)
}
