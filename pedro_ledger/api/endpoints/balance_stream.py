"""A user's balance as it moves, as server-sent events.

The id of an event is the user's `seq`: without gaps, the same on every replica, and it outlives
restarts, so that `Last-Event-ID` tells exactly what the caller has seen.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic, time
from typing import NamedTuple

import orjson

from pedro_ledger.api.http.caller import Keys
from pedro_ledger.api.http.entries import entry_json
from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.reading import invalid_query, query, user_ref
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.streaming import StreamedResponse, streamed
from pedro_ledger.api.schemas.queries import BalanceStreamQuery
from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.due import as_of
from pedro_ledger.ledger.errors import Unavailable
from pedro_ledger.ledger.times import moment_text
from pedro_ledger.store.journal.open_items import OpenItemsReader
from pedro_ledger.store.journal.statements import EntryReader
from pedro_ledger.streams.broadcaster import Broadcaster, Subscription

MEDIA_TYPE = "text/event-stream"
KEEP_ALIVE_S = 15.0
PACE_S = 0.25
"""At least so long between two balances: what comes meanwhile is one event."""
LATE_S = 0.5
"""Entries may come from a replica that has not got them yet: they are asked for again."""
REPLAY_MAX = 1_000
"""Entries that are told after `Last-Event-ID`; whoever missed more is told the balance alone."""
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Write = Callable[[bytes], Awaitable[None]]


async def stream(
    request: Request, streams: Broadcaster, open_items: OpenItemsReader, entries: EntryReader, keys: Keys
) -> StreamedResponse[str]:
    """A user's balance now, and each newer one, as server-sent events.

    Events: `balance`; with `?entries=true` an `entry` for each entry before it; `reset` in place of
    entries that are too many to tell; `bye` when the key or token has ended, or the daemon goes.
    After a cut send the last `id` as `Last-Event-ID`, to any replica: nothing is missed or told
    twice.
    """
    given = query(request, BalanceStreamQuery)
    seen = _last_event_id(request)
    row = await open_items.account(user_ref(request))
    with streams.subscribed(row.account) as subscription:
        again = await open_items.account(row.account.user_id)  # what was committed until it was subscribed
        streams.publish(again.account)
        told = _Stream(request, subscription, streams, entries if given.entries else None, keys)
        return await streamed(request, MEDIA_TYPE, _HEADERS, lambda write: told.run(write, seen))


def _last_event_id(request: Request) -> int | None:
    text = request.headers.get("Last-Event-ID")
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise invalid_query("Last-Event-ID", "must be the id of an event of this stream")
    return int(text)


class _Stream(NamedTuple):
    request: Request
    subscription: Subscription
    streams: Broadcaster
    entries: EntryReader | None
    keys: Keys

    async def run(self, write: Write, seen: int | None) -> None:
        """Tell what is newer than `seen`, until there is a reason to end."""
        await write(b"retry: 3000\n\n")
        keep_alive_at = monotonic() + KEEP_ALIVE_S
        while (reason := self._ends()) is None:
            self.subscription.moved.clear()
            account = self.subscription.account
            if account.seq != seen:
                seen = await self._tell(write, account, seen)
                keep_alive_at = monotonic() + KEEP_ALIVE_S
                await asyncio.sleep(PACE_S if seen == account.seq else LATE_S)
                continue
            if monotonic() >= keep_alive_at:
                await write(b": keep-alive\n\n")
                keep_alive_at = monotonic() + KEEP_ALIVE_S
            try:
                async with asyncio.timeout(min(keep_alive_at - monotonic(), self._left_s())):
                    await self.subscription.moved.wait()
            except TimeoutError:
                continue
        await write(_event("bye", None, {"reason": reason}))

    async def _tell(self, write: Write, account: Account, seen: int | None) -> int:
        """Returns the seq that the caller has seen then."""
        if self.entries is None or seen is None or seen > account.seq:
            await write(_event("balance", account.seq, _balance(account)))
            return account.seq
        rows = await self.entries.statement(
            account.user_id, since=None, until=None, after_seq=seen, newest_first=False, limit=REPLAY_MAX + 1
        )
        if len(rows) > REPLAY_MAX:
            await write(_event("reset", account.seq, _balance(account)))
            return account.seq
        # One write: a caller who is cut within it has seen some of the entries, each with its id.
        told = [
            _event("entry", row.entry["seq"], entry_json(account.user_id, row.entry, row.related_id)) for row in rows
        ]
        seen = rows[-1].entry["seq"] if rows else seen
        if seen == account.seq:
            told.append(_event("balance", seen, _balance(account)))
        await write(b"".join(told))
        return seen

    def _ends(self) -> str | None:
        """Why the stream is over; None while it is not."""
        if self.streams.is_closing:
            return "draining"
        caller = self.request.caller
        if time() >= caller.expires_at_s:
            return "token_ended"
        if caller.customer is None:
            try:
                self.keys.authenticate(self.request)
            except Problem:
                return "token_ended"
            except Unavailable:
                return None  # it may well hold; whoever asks anew is told
        return None

    def _left_s(self) -> float:
        return max(0.0, self.request.caller.expires_at_s - time())


def _balance(account: Account) -> dict[str, object]:
    now_ms = int(time() * 1000)
    shown, _ = as_of(account, now_ms)
    return {
        "userId": account.user_id,
        "creditsRemaining": shown.posted,
        "creditsHeld": shown.held,
        "creditsAvailable": shown.available,
        "seq": account.seq,
        "timestamp": moment_text(now_ms),
    }


def _event(name: str, seq: int | None, data: object) -> bytes:
    head = b"" if seq is None else b"id: %d\n" % seq
    return head + b"event: " + name.encode() + b"\ndata: " + orjson.dumps(data) + b"\n\n"
