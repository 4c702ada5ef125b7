"""What a key may do.

A module of its own, so that commands can name scopes without loading an HTTP server.
"""

from enum import Enum, StrEnum
from typing import Final, Literal


class Scope(StrEnum):
    """What a key may do."""

    WRITE = "ledger:write"
    READ = "ledger:read"
    ADMIN = "admin"
    REPORTS = "reports"


class OpenAccess(Enum):
    """What stands open to everybody."""

    PUBLIC = "public"


PUBLIC: Final = OpenAccess.PUBLIC
"""Declared by routes that need no key.

It is no scope and not `None`, so a route that declares nothing lets nobody in.
"""
Access = Scope | Literal[OpenAccess.PUBLIC]
