"""Tells those who look at a balance that it has moved.

Commits of this replica arrive at once. Those of other replicas are asked for in one query a second,
about all users who are looked at here. Each stream keeps the newest account and nothing else, so a
slow reader costs no memory and misses no final balance.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.errors import Overloaded, TooManyStreams

STREAMS_MAX = 5_000
"""Of one replica."""
USER_STREAMS_MAX = 5
POLL_EVERY_S = 1.0


class NewerAccounts(Protocol):
    """Where commits of other replicas are seen."""

    async def newer(self, known: Mapping[str, int]) -> Sequence[Account]:
        """The accounts of these users that are beyond the seq that is known. Raises
        `Unavailable`.
        """
        ...


class Subscription:
    """One stream's view of an account."""

    __slots__ = ("account", "moved")

    def __init__(self, account: Account) -> None:
        self.account = account
        """The newest that is known."""
        self.moved = asyncio.Event()
        """Set when `account` is newer than when it was cleared, or the stream is to end."""


class Broadcaster:
    """All streams of this replica."""

    def __init__(self, source: NewerAccounts) -> None:
        self._source = source
        self._by_user: dict[str, list[Subscription]] = {}
        self.count = 0
        """Streams that are open."""
        self.is_closing = False

    @contextmanager
    def subscribed(self, account: Account) -> Iterator[Subscription]:
        """A stream about an account, for the length of the block.

        Raises `TooManyStreams` and `Overloaded`.
        """
        if self.is_closing or self.count >= STREAMS_MAX:
            raise Overloaded("This replica has as many streams as it takes. Try again shortly.", limit="streams")
        streams = self._by_user.setdefault(account.user_id, [])
        if len(streams) >= USER_STREAMS_MAX:
            raise TooManyStreams(
                f"The user {account.user_id} has {USER_STREAMS_MAX} streams open: close one, or share one.",
                streamsMax=USER_STREAMS_MAX,
            )
        subscription = Subscription(account)
        streams.append(subscription)
        self.count += 1
        try:
            yield subscription
        finally:
            self.count -= 1
            streams.remove(subscription)
            if not streams:
                del self._by_user[account.user_id]

    def publish(self, account: Account) -> None:
        """An account as it is now, or was a moment ago."""
        for stream in self._by_user.get(account.user_id, ()):
            if account.seq > stream.account.seq:
                stream.account = account
                stream.moved.set()

    async def tick(self) -> None:
        """Look for commits of other replicas. Raises `Unavailable`."""
        known = self._known()
        if not known:
            return
        for account in await self._source.newer(known):
            self.publish(account)

    def _known(self) -> dict[str, int]:
        """The least seq that the streams of each user know."""
        return {user_id: min([stream.account.seq for stream in streams]) for user_id, streams in self._by_user.items()}

    def close(self) -> None:
        """Have every stream end, and take no new one."""
        self.is_closing = True
        for streams in self._by_user.values():
            for stream in streams:
                stream.moved.set()
