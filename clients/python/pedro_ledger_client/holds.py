"""Credits that are set aside while work goes on."""

import asyncio
import contextlib
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pedro_ledger_client.errors import LedgerError, Refused
from pedro_ledger_client.models import Receipt

if TYPE_CHECKING:
    from pedro_ledger_client.client import LedgerClient


BEATS_A_LEASE = 3
"""Heartbeats in the time of one lease: two may get lost."""


class Hold:
    """A hold for the length of an `async with` block.

    With a lease it says by itself that the work goes on. At the end what was not captured goes
    back: at once where the block ends, at the latest when the hold lapses.
    """

    def __init__(self, client: "LedgerClient", line: dict[str, Any], key: str | None, lease_s: int | None) -> None:
        self._client = client
        self._line = line
        self._key = key
        self._lease_s = lease_s
        self._beats: asyncio.Task[None] | None = None
        self._is_open = False
        self._used = 0
        self.receipt: Receipt | None = None
        """Of the hold itself, once it is made."""

    @property
    def id(self) -> str:
        """Names the hold in other calls."""
        assert self.receipt is not None, "enter the hold first"
        return self.receipt["entryId"]

    async def capture(
        self, credits: int, *, final: bool = True, overage: str = "refuse", key: str | None = None, **more: Any
    ) -> Receipt:
        """Charge `credits` of what is held; what is left goes back, unless `final` is false.

        Raises `Refused` and `Unanswered`.
        """
        line = {"type": "capture", "holdId": self.id, "credits": credits, "final": final, "overage": overage, **more}
        receipt = await self._client.submit(line, key)
        self._is_open = not final
        return receipt

    async def extend(self, *, key: str | None = None, **more: Any) -> Receipt:
        """Hold more `credits`, or for longer (`expiresIn`). Raises `Refused` and `Unanswered`."""
        return await self._client.submit({"type": "extend", "holdId": self.id, **more}, key)

    async def void(self, *, key: str | None = None) -> Receipt:
        """Give everything back. Raises `Refused` and `Unanswered`."""
        receipt = await self._client.submit({"type": "void", "holdId": self.id}, key)
        self._is_open = False
        return receipt

    def uses(self, credits: int) -> None:
        """What the work has come to so far: told with the next heartbeat."""
        self._used = credits

    async def __aenter__(self) -> "Hold":
        self.receipt = await self._client.submit(self._line, self._key)
        self._is_open = True
        if self._lease_s is not None:
            self._beats = asyncio.get_running_loop().create_task(self._beat(self._lease_s / BEATS_A_LEASE))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beats is not None:
            self._beats.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beats
        if self._is_open:
            with contextlib.suppress(LedgerError):  # it lapses by itself
                await self.void()

    async def _beat(self, pause_s: float) -> None:
        while True:
            await asyncio.sleep(pause_s)
            body = {"used": self._used} if self._used else {}
            try:
                await self._client.call("POST", f"/v1/holds/{self.id}/heartbeat", body)
            except Refused:
                return  # it is closed; whoever captures is told
            except LedgerError:
                continue
