"""What a key may do. Apart from the rest, so that commands can name scopes without loading an HTTP server."""

from enum import StrEnum


class Scope(StrEnum):
    """What a key may do."""

    WRITE = "ledger:write"
    READ = "ledger:read"
    ADMIN = "admin"
    REPORTS = "reports"
