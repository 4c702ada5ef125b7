"""Keeps the ring of keys as the database has it, and tells the database now and then which keys were used."""

import asyncio
from math import inf

import structlog

from pedro_ledger.api.access.api_keys import KeyRing
from pedro_ledger.api.http.caller import Caller
from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.store.keys import KeyStore

NOTE_USE_S = 60.0
"""The last use of a key is written this often, and when the daemon ends; never by a request."""
log = structlog.get_logger(__name__)


class KeyRefresher:
    """A key that was made, revoked or rotated anywhere is so here within `refresh_s`. Keys expire without being asked about."""

    def __init__(self, ring: KeyRing, store: KeyStore, *, refresh_s: float) -> None:
        self._ring = ring
        self._store = store
        self._refresh_s = refresh_s

    async def run(self) -> None:
        """Refresh until cancelled."""
        loop = asyncio.get_running_loop()
        note_at = loop.time() + NOTE_USE_S
        while True:
            await asyncio.sleep(self._refresh_s)
            try:
                await self.refresh()
                if loop.time() >= note_at:
                    note_at = loop.time() + NOTE_USE_S
                    await self.note_use()
            except Unavailable as error:
                log.warning("keys_not_refreshed", reason=error.facts.get("reason"))
            except Exception:  # whatever it is, a key that is revoked later must still be seen
                log.exception("keys_not_refreshed")

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
        """Write when each key was last used. Raises `Unavailable`; these uses are then forgotten."""
        used = self._ring.take_uses()
        if used:
            await self._store.note_use(used)

    async def close(self) -> None:
        """Write what is left to write."""
        try:
            await self.note_use()
        except Unavailable as error:
            log.warning("key_uses_not_written", reason=error.facts.get("reason"))
