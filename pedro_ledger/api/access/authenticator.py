"""Authentication and authorization of a call.

The caller is an API key with the route's scope, or a customer with a session token of their own.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from pedro_ledger.api.access.api_keys import KeyRing, bearer
from pedro_ledger.api.access.session_tokens import CustomerTokens, looks_like_a_token
from pedro_ledger.api.http.caller import Caller
from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.scopes import Scope
from pedro_ledger.api.ownership import only_their_own
from pedro_ledger.api.routes import Route
from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.store.app.users import UserStore


class Authenticator:
    """Tries API keys first, which need no I/O, then customers' tokens."""

    def __init__(
        self,
        keys: KeyRing,
        freshen_keys: Callable[[], Awaitable[None]],
        customers: CustomerTokens | None,
        users: UserStore,
    ) -> None:
        self._keys = keys
        self._freshen_keys = freshen_keys
        self._customers = customers
        self._users = users

    async def authenticate(self, request: Request, route: Route[Any], scope: Scope) -> Caller:
        """The caller, who may make this call.

        Raises the problems 401 and 403, and `UserNotFound` for what belongs to another customer.
        Raises `Unavailable` for a key that may have been revoked.
        """
        try:
            try:
                caller = self._keys.authenticate(request)
            except Unavailable:
                await self._freshen_keys()
                caller = self._keys.authenticate(request)
        except Problem:
            if self._customers is None or not looks_like_a_token(token := bearer(request)):
                raise
            caller = await self._customers.authenticate(token)
            await only_their_own(request, caller, self._users, for_customers=route.customers)
        else:
            caller.enter(scope, by_workspace=route.by_workspace)
        return caller
