"""Whose things a call is about.

Customers with a token of their own may read what is theirs, and nothing else.
"""

from pedro_ledger.api.http.caller import Caller
from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.reading import invalid_query
from pedro_ledger.api.http.request import Request
from pedro_ledger.ledger.errors import UserNotFound
from pedro_ledger.store.app.users import UserStore
from pedro_ledger.store.journal.accounts import CLERK_PREFIX

MYSELF = "me"
"""In place of `{user}`: whoever's token it is."""


async def only_their_own(request: Request, caller: Caller, users: UserStore, *, for_customers: bool) -> None:
    """Let a customer through to what is theirs.

    Raises the problem 403 `not_for_customers`, and `UserNotFound` for what belongs to others.
    """
    if not for_customers:
        raise Problem(
            403,
            "not_for_customers",
            "Customers may not do this",
            "A customer's token reads that customer's balance, usage, statement and files, and nothing else. Send an API key.",
        )
    own = f"{CLERK_PREFIX}{caller.customer}"
    in_path = request.path_values.get("user")
    asked = in_path if in_path is not None else request.query.get("user", MYSELF)
    if asked not in {MYSELF, own} and (asked.startswith(CLERK_PREFIX) or await users.find(own) != asked):
        raise UserNotFound(f"There is no user {asked}.", user=asked)
    if in_path is not None:
        request.path_values = {**request.path_values, "user": own}


async def owner(request: Request, users: UserStore, ref: str | None) -> str:
    """The id of the user `ref` that `?user=` names, or of the customer whose token it is.

    Raises the problem 400 `invalid_query` where neither is given, and `UserNotFound`.
    """
    if request.caller.customer is not None:  # the authenticator has seen that `user` is nobody else
        return await id_of(users, f"{CLERK_PREFIX}{request.caller.customer}")
    if ref is None:
        raise invalid_query("user", "is needed: the owner's id, or clerk: and the Clerk id")
    return await id_of(users, ref)


async def id_of(users: UserStore, ref: str) -> str:
    """The id of the user that `ref` names. Raises `UserNotFound`."""
    found = await users.find(ref)
    if found is None:
        raise UserNotFound(f"There is no user {ref}.", user=ref)
    return found
