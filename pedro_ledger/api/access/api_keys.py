"""Who calls, and what they may do: API keys by their SHA-256, each with scopes."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from math import inf
from secrets import token_urlsafe
from time import time
from typing import NamedTuple

from aiohttp import web

from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.scopes import Scope

__all__ = ["Caller", "KeyRing", "Scope", "bearer", "new_key", "unauthorized"]


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

        A key that is bound to a workspace sees it and nothing else: users and their credits belong to no workspace.
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


def new_key() -> str:
    """256 bits of chance. Whoever makes it shows it once; only its digest is kept."""
    return "pedro_" + token_urlsafe(32)


class KeyRing:
    """The keys that are valid now, by the SHA-256 of each. Looking up a digest tells a timing attacker nothing of the key."""

    def __init__(self, fixed: Mapping[bytes, Caller]) -> None:
        self._fixed = dict(fixed)
        self._callers = dict(fixed)
        self._used_at_s: dict[str, float] = {}

    @staticmethod
    def digest(key: str) -> bytes:
        """What is kept of a key."""
        return sha256(key.encode("utf-8", "surrogateescape")).digest()

    @classmethod
    def of_one(cls, key: str, key_id: str, scopes: Iterable[Scope] = tuple(Scope)) -> "KeyRing":
        """A ring with one key that stays valid."""
        return cls({cls.digest(key): Caller(key_id, frozenset(scopes))})

    def replace(self, callers: Mapping[bytes, Caller]) -> None:
        """Take these keys beside the fixed ones, and no others any more."""
        self._callers = {**callers, **self._fixed}

    def take_uses(self) -> dict[str, float]:
        """When each key was last used since this was asked the last time, in seconds since 1970."""
        taken, self._used_at_s = self._used_at_s, {}
        return taken

    def authenticate(self, request: web.BaseRequest) -> Caller:
        """The caller of a request. Raises the problem 401 `unauthorized`."""
        if key := bearer(request):
            caller = self._callers.get(self.digest(key))
            now_s = time()
            if caller is not None and now_s < caller.expires_at_s:
                self._used_at_s[caller.key_id] = now_s
                return caller
        raise unauthorized()


def bearer(request: web.BaseRequest) -> str:
    """What stands after `Bearer` in the request's header; empty where nothing does."""
    header = request.headers.get("Authorization", "")
    return header[7:].strip() if header[:7].lower() == "bearer " else ""


def unauthorized() -> Problem:
    """No valid key. It is not told what is wrong with the one that was sent."""
    return Problem(
        401,
        "unauthorized",
        "No valid key",
        "Send a valid key as: Authorization: Bearer <key>.",
        headers={"WWW-Authenticate": 'Bearer realm="pedro-ledger"'},
    )
