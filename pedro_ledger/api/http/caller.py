"""Who calls, and what they may do."""

from math import inf
from typing import NamedTuple, Protocol

from aiohttp import web

from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.scopes import Scope


class Caller(NamedTuple):
    """The key that a request came with."""

    key_id: str
    scopes: frozenset[str]
    workspace_id: str | None = None
    """The only workspace that the key sees; without one it sees them all."""
    expires_at_s: float = inf
    """Seconds since 1970."""
    customer: str | None = None
    """The Clerk id of the customer whose own token it is; such a caller has no key."""

    def enter(self, scope: Scope, *, by_workspace: bool) -> None:
        """Raises the problem 403 where the key may not make a call that declares `scope`.

        A key that is bound to a workspace sees nothing else: users and their credits belong to no
        workspace.
        """
        self.require(scope)
        if self.workspace_id is not None and not by_workspace:
            raise Problem(
                403,
                "workspace_only",
                "The key sees one workspace only",
                f"The key {self.key_id} is bound to the workspace {self.workspace_id}; this call is about more than that.",
            )

    def require(self, scope: Scope) -> None:
        """Raises the problem 403 `scope_missing` when the key does not have `scope`."""
        if scope not in self.scopes:
            raise Problem(
                403,
                "scope_missing",
                "The key may not do this",
                f"This call needs the scope {scope}; the key {self.key_id} has {', '.join(sorted(self.scopes)) or 'none'}.",
                scope=str(scope),
            )


class Keys(Protocol):
    """Tells whether a request's key still holds."""

    def authenticate(self, request: web.BaseRequest) -> Caller:
        """The caller. Raises the problem 401 `unauthorized`, and `Unavailable`."""
        ...
