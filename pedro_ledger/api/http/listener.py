"""Accepts connections, many in one iteration of the event loop.

libuv's server accepts one connection in each iteration. With a thousand busy connections an
iteration takes a tenth of a second, and new connections wait in the backlog, one behind the other,
for seconds (`python -m tests.system.overload` measured 5 s).
"""

import asyncio
import errno
import socket
from collections.abc import Callable

import structlog

BACKLOG = 1024
"""Connections that the kernel queues; it refuses further ones."""
TAKEN_AT_ONCE = 256
"""In one iteration, so that those who are connected are served too."""
PAUSE_S = 1.0
"""After the process or system ran out of files or memory: connections must end first."""
_NOT_OURS = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}
log = structlog.get_logger(__name__)


class Listener:
    """Listening sockets; each connection taken becomes a protocol of the factory's."""

    def __init__(self, make_protocol: Callable[[], asyncio.Protocol], sockets: list[socket.socket]) -> None:
        self._make_protocol = make_protocol
        self._sockets = sockets
        self._loop = asyncio.get_running_loop()
        self._taking: set[asyncio.Task[None]] = set()
        self._is_closed = False
        for listening in sockets:
            self._listen(listening)

    @classmethod
    async def open(cls, make_protocol: Callable[[], asyncio.Protocol], host: str, port: int) -> "Listener":
        """Listen on every address of `host` that this machine has; `port` 0 means a free one.

        An address that the machine lacks is passed over: `localhost` names an IPv6 address also
        where there is no IPv6. Raises `OSError` where it cannot listen at all.
        """
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        sockets: list[socket.socket] = []
        absent: OSError | None = None
        try:
            for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
                try:
                    sockets.append(_bound(family, address))
                except OSError as error:
                    if error.errno not in _NOT_OURS:
                        raise
                    absent = error
            if not sockets and absent is not None:
                raise absent
        except OSError:
            for bound in sockets:
                bound.close()
            raise
        return cls(make_protocol, sockets)

    @property
    def port(self) -> int:
        """Where the first socket listens."""
        return int(self._sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Take no more connections; those that were taken go on."""
        self._is_closed = True
        for listening in self._sockets:
            self._loop.remove_reader(listening)
            listening.close()
        await asyncio.gather(*self._taking)

    def _listen(self, listening: socket.socket) -> None:
        if not self._is_closed:
            self._loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(TAKEN_AT_ONCE):
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("connection_not_taken", reason=error.strerror, advice="raise ulimit -n")
                self._loop.remove_reader(listening)
                self._loop.call_later(PAUSE_S, self._listen, listening)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._take(connection))
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)

    async def _take(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, connection)
        except OSError:
            connection.close()  # it ended before it began


def _bound(family: int, address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has a socket of its own
        listening.setblocking(False)
        listening.bind(address)
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening
