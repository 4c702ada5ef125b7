"""Stands between daemons and PostgreSQL, knows where each commit is, and does to it what networks
do.

cut before        the commit never arrives, both sides see the connection end
cut within        half of the commit arrives
cut after         it arrives and is done; the reply is dropped
cut in the reply  the reply's rows arrive, the word that the transaction is over does not
silent before     the commit is swallowed, nothing is ever said
silent after      it is done, nothing is ever said
late              it is held until the daemon gave up and asked what became of it, then delivered
delay             it arrives late, and so does the reply, on a connection that works
trickle           it arrives a few bytes at a time, and so does the reply
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.system.faults import PATIENCE_S
from tests.system.faults.wire import CANCEL, WISHES, CommitSpotter, read_message, read_start

CUTS = ("cut before", "cut within", "cut after", "cut in the reply")
SILENCES = ("silent before", "silent after", "late")
SLOWNESS = ("delay", "trickle")
SOCKET_NAME = ".s.PGSQL.5432"
ENDS = (asyncio.IncompleteReadError, ConnectionError, BrokenPipeError)


class FaultProxy:
    """Listens in `folder`, forwards to the server in `target`, which may change."""

    def __init__(self, folder: Path, target: Path, *, delay_s: float = 0.2, late_s: float = 0.3) -> None:
        self.folder = folder
        self.target = target
        self.delay_s = delay_s
        self.late_s = late_s
        self.planned: deque[str] = deque()
        """What is done to the next commits."""
        self.on_locks: Callable[[], None] | None = None
        """Called once, when a batch is written and its COMMIT not yet asked for."""
        self.done: Counter[str] = Counter()
        self.commits = 0
        self.mistakes: list[Exception] = []
        """The proxy's own."""
        self._changed = asyncio.Condition()
        self._lines: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._server = await asyncio.start_unix_server(self._admit, self.folder / SOCKET_NAME)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.drop_all()
        await asyncio.gather(*self._lines, return_exceptions=True)
        if self.mistakes:
            raise self.mistakes[0]

    def drop_all(self) -> None:
        """End every connection."""
        for line in self._lines:
            line.cancel()

    async def until_done(self, faults: int) -> None:
        """Wait until so many commits met what was planned for them."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: self.done.total() >= faults)

    async def note(self, fault: str) -> None:
        async with self._changed:
            self.done[fault] += 1
            self._changed.notify_all()

    def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.create_task(_Line(self, reader, writer).run())
        self._lines.add(line)
        line.add_done_callback(self._lines.discard)


class _Line:
    """One connection."""

    def __init__(self, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.from_client, self.to_client = reader, writer
        self.spotter = CommitSpotter()
        self.fault = ""
        """What is being done to the commit under way."""
        self.answered = asyncio.Event()
        """The server has answered a commit that was late."""

    async def run(self) -> None:
        to_server: asyncio.StreamWriter | None = None
        try:
            code, first = await read_start(self.from_client)
            while code in WISHES:
                self.to_client.write(b"N")
                code, first = await read_start(self.from_client)
            self.from_server, to_server = await asyncio.open_unix_connection(self.proxy.target / SOCKET_NAME)
            self.to_server = to_server
            self.to_server.write(first.wire)
            if code == CANCEL:
                await self.to_server.drain()
                return
            await self._both_ways()
        except (*ENDS, OSError):
            pass
        finally:
            for writer in (self.to_client, to_server):
                if writer is not None:
                    writer.transport.abort()

    async def _both_ways(self) -> None:
        """Until either side ends."""
        ways = [asyncio.create_task(self._requests()), asyncio.create_task(self._replies())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for end in await asyncio.gather(*ways, return_exceptions=True):
                if isinstance(end, Exception) and not isinstance(end, (*ENDS, OSError)):
                    self.proxy.mistakes.append(end)
            await self._met()  # a daemon may give a commit up sooner than the fault is over

    async def _met(self) -> None:
        """Say, once, that the commit under way met its fault."""
        fault, self.fault = self.fault, ""
        if fault:
            await self.proxy.note(fault)

    async def _requests(self) -> None:
        held: list[bytes] = []
        while True:
            message = await read_message(self.from_client)
            held.append(message.wire)
            is_commit = self.spotter.is_commit(message)
            if message.kind in {b"P", b"B", b"D", b"E", b"C"}:
                continue  # until the Sync or Flush that ends the request
            request, held = b"".join(held), []
            if is_commit:
                self.proxy.commits += 1
                if self.proxy.planned:
                    fault = self.proxy.planned.popleft()
                    if await self._commit(request, fault):
                        return
                    continue
            self.to_server.write(request)
            await self.to_server.drain()

    async def _commit(self, request: bytes, fault: str) -> bool:
        """Do `fault` to a commit. True when the connection is over."""
        self.fault = fault
        match fault:
            case "cut before":
                await self._met()
                return True
            case "cut within":
                self.to_server.write(request[: len(request) // 2])
                await self.to_server.drain()
                await self._met()
                return True
            case "silent before":
                await self._met()
                await self._until_client_leaves()
                return True
            case "late":
                await self._until_client_leaves()
                await asyncio.sleep(self.proxy.late_s)
                self.to_server.write(request)
                await self.to_server.drain()
                await self.answered.wait()
                await self._met()
                return True
            case "delay":
                await asyncio.sleep(self.proxy.delay_s)
                self.to_server.write(request)
            case "trickle":
                await _trickle(self.to_server, request)
            case _:
                self.to_server.write(request)
        await self.to_server.drain()
        return False

    async def _until_client_leaves(self) -> None:
        try:
            while await self.from_client.read(65536):
                pass
        except ConnectionError:
            pass

    async def _replies(self) -> None:
        while True:
            message = await read_message(self.from_server)
            is_end = message.kind == b"Z"
            if is_end and self.spotter.held_locks and self.proxy.on_locks is not None:
                on_locks, self.proxy.on_locks = self.proxy.on_locks, None
                on_locks()
            fault = self.fault
            match fault:
                case "cut after" | "cut in the reply":
                    if is_end:
                        await self.to_client.drain()
                        await asyncio.sleep(0)
                        await self._met()
                        return
                    if fault == "cut in the reply":
                        self.to_client.write(message.wire)
                    continue
                case "late":
                    if is_end:
                        self.answered.set()
                    continue
                case "silent after":
                    if is_end:
                        await self._met()
                        await asyncio.Event().wait()  # until the client leaves
                    continue
                case "trickle":
                    await _trickle(self.to_client, message.wire)
                case _:
                    self.to_client.write(message.wire)
            await self.to_client.drain()
            if is_end and fault in SLOWNESS:
                await self._met()


async def _trickle(writer: asyncio.StreamWriter, data: bytes) -> None:
    """`data` in forty pieces, with pauses between."""
    size = max(1, len(data) // 40)
    for first in range(0, len(data), size):
        writer.write(data[first : first + size])
        await writer.drain()
        await asyncio.sleep(0.002)
