"""Makes the n-th call to the database fail, whoever makes it: each query of each connection, and
each attempt to connect.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, TypeVar
from unittest.mock import patch

import asyncpg

from pedro_ledger.postgres.database import Connection

T = TypeVar("T")
_CALLS = frozenset({"prepare", "bind_execute", "bind_execute_many", "bind", "execute", "query", "copy_in", "copy_out"})
"""What asyncpg's protocol sends to the server and waits for."""


class Failing(Enum):
    """How a call fails."""

    CUT_BEFORE = "the connection breaks before the server hears of it"
    CUT_AFTER = "the connection breaks after the server did it"
    LATE = "the server did it, and the answer comes too late"
    REFUSED = "the server reports a deadlock"


class Tripwire:
    """Counts calls; the one with the number `fails_at` fails. 0: none."""

    def __init__(self) -> None:
        self.calls = 0
        self.fails_at = 0
        self.failing = Failing.CUT_BEFORE
        self.tripped: str | None = None

    def set(self, fails_at: int, failing: Failing = Failing.CUT_BEFORE) -> None:
        """Count anew."""
        self.calls, self.fails_at, self.failing, self.tripped = 0, fails_at, failing, None

    def trips(self, name: str) -> bool:
        """Whether this call is the one."""
        self.calls += 1
        if self.calls == self.fails_at:
            self.tripped = name
            return True
        return False

    @contextmanager
    def laid(self) -> Iterator["Tripwire"]:
        """For the length of a block, every connection that is opened counts here."""
        wire = self

        class WatchedConnection(Connection):
            __slots__ = ()

            def __init__(self, protocol: Any, transport: Any, *rest: Any) -> None:
                super().__init__(_Watched(protocol, transport, wire), transport, *rest)  # type: ignore[call-arg]

        def opening(open_one: Callable[..., Any]) -> Callable[..., Any]:
            async def connect(*arguments: Any, **named: Any) -> Any:
                if wire.trips("connect"):
                    raise ConnectionRefusedError("nobody listens")
                return await open_one(*arguments, connection_class=WatchedConnection, **named)

            return connect

        def create_pool(*arguments: Any, **named: Any) -> Any:
            return make_pool(*arguments, **{**named, "connection_class": WatchedConnection})

        make_pool = asyncpg.create_pool
        with patch("asyncpg.connect", opening(asyncpg.connect)), patch("asyncpg.create_pool", create_pool):
            yield self


class _Watched:
    """asyncpg's protocol with a tripwire before each call."""

    def __init__(self, protocol: Any, transport: Any, wire: Tripwire) -> None:
        self._protocol = protocol
        self._transport = transport
        self._wire = wire

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._protocol, name)
        if name not in _CALLS:
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            if not self._wire.trips(name):
                return await found(*arguments, **named)
            match self._wire.failing:
                case Failing.CUT_BEFORE:
                    self._transport.abort()
                case Failing.CUT_AFTER:
                    await found(*arguments, **named)
                    self._transport.abort()
                case Failing.LATE:
                    await found(*arguments, **named)
                    raise TimeoutError
                case Failing.REFUSED:
                    error = asyncpg.DeadlockDetectedError("deadlock detected")
                    error.severity_en = "ERROR"  # type: ignore[attr-defined]
                    raise error
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

        return call


class Interrupted:
    """Awaits something, and raises `error` in it where it waits for the `at`-th time, as if what it
    waits for had failed.
    """

    def __init__(self, awaitable: Awaitable[T], at: int, error: BaseException) -> None:
        self._awaitable = awaitable
        self._at = at
        self._error = error
        self.waits = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._awaitable.__await__()
        try:
            waits_for = next(steps)
            while True:
                self.waits += 1
                if self.waits == self._at:
                    if isinstance(waits_for, asyncio.Future):
                        waits_for.cancel()
                    waits_for = steps.throw(self._error)  # type: ignore[attr-defined]
                else:
                    yield waits_for
                    waits_for = next(steps)
        except StopIteration as done:
            return done.value
