"""Keeps the key ring in step with the database, and writes there which keys were used."""

from math import inf

import structlog

from pedro_ledger.api.access.api_keys import KeyRing
from pedro_ledger.api.http.caller import Caller
from pedro_ledger.store.keys import KeyStore

log = structlog.get_logger(__name__)


class KeyRefresher:
    """A key that any replica made, revoked or rotated is so here from the next `refresh` on.

    Expiry needs no refresh: the ring compares it with the clock.
    """

    def __init__(self, ring: KeyRing, store: KeyStore) -> None:
        self._ring = ring
        self._store = store

    async def refresh(self) -> None:
        """Read every valid key once. Raises `Unavailable`."""
        self._ring.replace(
            {
                key.digest: Caller(
                    key.id, key.scopes, key.workspace_id, inf if key.expires_at_s is None else key.expires_at_s
                )
                for key in await self._store.valid()
            }
        )

    async def note_use(self) -> None:
        """Write when each key was last used. Raises `Unavailable`; these uses are then written the next time."""
        used = self._ring.take_uses()
        if used:
            try:
                await self._store.note_use(used)
            except BaseException:
                self._ring.put_back(used)
                raise

    async def close(self) -> None:
        """Write what is left to write."""
        try:
            await self.note_use()
        except Exception as error:
            log.warning("key_uses_not_written", reason=type(error).__name__)
