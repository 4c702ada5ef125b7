"""Which user a ref names, for what counts calls by user: `clerk:` with the Clerk id and `User.id`
are one.
"""

from collections.abc import Collection, Mapping
from time import monotonic

from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.store.app.users import UserStore
from pedro_ledger.store.journal.accounts import CLERK_PREFIX

KEPT_S = 60.0
"""A Clerk id may move to another user; its count follows after this time."""
KEPT_MAX = 100_000


class UserNames:
    """Remembers for a while who has which Clerk id."""

    def __init__(self, users: UserStore) -> None:
        self._users = users
        self._known: dict[str, tuple[str, float]] = {}

    async def ids_of(self, refs: Collection[str]) -> Mapping[str, str]:
        """The ids of the users that refs with a Clerk id name, by ref.

        Left out are refs of nobody, and those that cannot be asked about now: they count by
        themselves.
        """
        now = monotonic()
        clerk_refs = [ref for ref in refs if ref.startswith(CLERK_PREFIX)]
        unknown = [ref for ref in clerk_refs if ref not in self._known or now - self._known[ref][1] >= KEPT_S]
        if unknown:
            try:
                found = await self._users.ids_of([ref.removeprefix(CLERK_PREFIX) for ref in unknown])
            except Unavailable:
                found = {}
            for clerk_id, user_id in found.items():
                ref = CLERK_PREFIX + clerk_id
                self._known.pop(ref, None)
                self._known[ref] = (user_id, now)  # put last: the first of the dictionary is the oldest
            while len(self._known) > KEPT_MAX:
                del self._known[next(iter(self._known))]
        return {ref: self._known[ref][0] for ref in clerk_refs if ref in self._known}
