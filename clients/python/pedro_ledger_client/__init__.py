"""Client of the pedro_ledger credit ledger, for asyncio."""

from pedro_ledger_client.client import LedgerClient
from pedro_ledger_client.errors import (
    HoldClosed,
    HoldLapsed,
    IdempotencyKeyReused,
    InsufficientCredits,
    LedgerError,
    NoPrice,
    Refused,
    SpendLimitExceeded,
    Unanswered,
    UserNotFound,
)
from pedro_ledger_client.holds import Hold

__version__ = "0.2.0.dev0"
__all__ = [
    "Hold",
    "HoldClosed",
    "HoldLapsed",
    "IdempotencyKeyReused",
    "InsufficientCredits",
    "LedgerClient",
    "LedgerError",
    "NoPrice",
    "Refused",
    "SpendLimitExceeded",
    "Unanswered",
    "UserNotFound",
]
