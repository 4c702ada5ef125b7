"""PostgreSQL's wire protocol, as far as a proxy must know it to say where a commit is.

The daemon commits a batch in one of two ways: as a prepared statement of its own, whose Sync
commits it, or, through a transaction pooler, within BEGIN and COMMIT. Other transactions (a user is
made, adopted) end with COMMIT too.
"""

import struct
from asyncio import StreamReader
from typing import NamedTuple

COMMIT_MARK = b"Commit a batch of units"
"""The first line of the daemon's commit statement."""
PROTOCOL_3 = 196608
CANCEL = 80877102
WISHES = {80877103, 80877104}
"""Requests to encrypt, before the start-up message: refused."""


class Message(NamedTuple):
    """One message of either side. `kind` is empty for the start-up message, which has none."""

    kind: bytes
    body: bytes

    @property
    def wire(self) -> bytes:
        return self.kind + struct.pack("!I", len(self.body) + 4) + self.body


async def read_message(reader: StreamReader) -> Message:
    """The next message. Raises `IncompleteReadError` at the end of the stream."""
    head = await reader.readexactly(5)
    return Message(head[:1], await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4))


async def read_start(reader: StreamReader) -> tuple[int, Message]:
    """The first message of a connection and its code."""
    (length,) = struct.unpack("!I", await reader.readexactly(4))
    body = await reader.readexactly(length - 4)
    return struct.unpack("!I", body[:4])[0], Message(b"", body)


class CommitSpotter:
    """Follows what one client says; tells which requests commit something."""

    def __init__(self) -> None:
        self._commits: set[bytes] = set()
        """Names of prepared statements that commit a batch."""
        self._bound = False
        self._in_block = False
        self.held_locks = False
        """Whether the last request wrote a batch without committing it: it was inside BEGIN and
        COMMIT.
        """

    def is_commit(self, message: Message) -> bool:
        """Whether the request that `message` ends (a Sync, or a simple query) commits."""
        match message.kind:
            case b"P":
                name, _, rest = message.body.partition(b"\0")
                if COMMIT_MARK in rest.partition(b"\0")[0]:
                    self._commits.add(name)
                else:
                    self._commits.discard(name)
            case b"B":
                self._bound |= message.body.split(b"\0", 2)[1] in self._commits
            case b"Q":
                words = message.body.upper()
                self._in_block = (self._in_block or words.startswith(b"BEGIN")) and not words.startswith(
                    (b"COMMIT", b"ROLLBACK")
                )
                self.held_locks = False
                return words.startswith(b"COMMIT")
            case b"S":
                bound, self._bound = self._bound, False
                self.held_locks = bound and self._in_block
                return bound and not self._in_block
        return False
