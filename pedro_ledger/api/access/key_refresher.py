"""Keeps the key ring in step with the database, and writes there which keys were used."""

import asyncio
from math import inf

import structlog

from pedro_ledger.api.access.api_keys import KeyRing
from pedro_ledger.api.http.caller import Caller
from pedro_ledger.store.keys import KeyStore

FRESHEN_WITHIN_S = 1.0
"""A request that finds the ring stale waits this long for it to be read."""
log = structlog.get_logger(__name__)


class KeyRefresher:
    """A key that any replica made, revoked or rotated is so here from the next `refresh` on.

    Expiry needs no refresh: the ring compares it with the clock.
    """

    def __init__(self, ring: KeyRing, store: KeyStore) -> None:
        self._ring = ring
        self._store = store
        self._reading = asyncio.Lock()
        self._freshening: asyncio.Task[None] | None = None

    async def refresh(self) -> None:
        """Read every valid key once. Raises `Unavailable`."""
        async with self._reading:  # one at a time, so that what was read earlier never comes after what was read later
            read_at = self._ring.now()
            callers = {
                key.digest: Caller(
                    key.id, key.scopes, key.workspace_id, inf if key.expires_at_s is None else key.expires_at_s
                )
                for key in await self._store.valid()
            }
            self._ring.replace(callers, read_at=read_at)

    async def freshen(self) -> None:
        """Refresh now, or wait with those who are waiting for it: the loop may be pausing since the
        database was away.
        """
        if self._freshening is None or self._freshening.done():
            self._freshening = asyncio.create_task(self._try_refresh())
        await asyncio.wait({self._freshening}, timeout=FRESHEN_WITHIN_S)

    async def _try_refresh(self) -> None:
        try:
            await self.refresh()
        except Exception:  # the loop tells of it
            return

    async def note_use(self) -> None:
        """Write when each key was last used.

        Raises `Unavailable`; these uses are then written the next time.
        """
        used = self._ring.take_uses()
        if used:
            try:
                await self._store.note_use(used)
            except BaseException:
                self._ring.put_back(used)
                raise

    async def close(self) -> None:
        """Write what is left to write."""
        if self._freshening is not None:
            self._freshening.cancel()
            await asyncio.wait({self._freshening})
        try:
            await self.note_use()
        except Exception as error:
            log.warning("key_uses_not_written", reason=type(error).__name__)
