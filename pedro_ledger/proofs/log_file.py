"""The checkpoints' file outside the database: one line each, appended and synced to the disk, never
rewritten.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pedro_ledger.proofs.errors import CheckpointError
from pedro_ledger.proofs.fsync import sync


class Place(NamedTuple):
    """The end of a line up to which a file was read before."""

    offset: int
    """Bytes before and with the line and its line feed."""
    line: str


class LogFile:
    """The lines of a file of checkpoints, locked against other processes.

    After a `place` it has only those that follow, where the file still has that line there;
    `follows` says whether it has.
    """

    def __init__(self, descriptor: int, file: Path, place: Place | None = None) -> None:
        self._descriptor = descriptor
        self._file = file
        self.follows = place is not None and self._ends_with(place)
        start = place.offset if place is not None and self.follows else 0
        size = os.fstat(descriptor).st_size
        content = os.pread(descriptor, max(0, size - start), start)
        end = content.rfind(b"\n") + 1
        if end < len(content):  # a line that was cut short while it was appended, and never counted
            os.ftruncate(descriptor, start + end)
        self.lines = lines_of(content[:end], file)
        self._end = start + end

    def _ends_with(self, place: Place) -> bool:
        line = place.line.encode() + b"\n"
        return os.pread(self._descriptor, len(line), place.offset - len(line)) == line

    @property
    def end(self) -> int:
        """Bytes of all whole lines."""
        return self._end

    def append(self, lines: Sequence[str]) -> None:
        """Add lines; they are on the disk when this returns."""
        if not lines:
            return
        data = "".join(line + "\n" for line in lines).encode()
        self._end += len(data)
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise CheckpointError(f"cannot write {self._file}: {error.strerror}") from None
        self.lines += lines


@contextmanager
def opened_log(file: Path, place: Place | None = None) -> Iterator[LogFile]:
    """The file, made where it is not there yet. Raises `CheckpointError`."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_new = not file.exists()
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError as error:
        raise CheckpointError(f"cannot open {file}: {error.strerror}; set PEDRO_CHECKPOINT_FILE") from None
    try:
        if is_new:
            sync(file.parent)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield LogFile(descriptor, file, place)
    finally:
        os.close(descriptor)


def read_log(file: Path) -> list[str]:
    """The lines of a file that is only looked at. Raises `CheckpointError`."""
    try:
        return lines_of(file.read_bytes(), file)
    except OSError as error:
        raise CheckpointError(f"cannot read {file}: {error.strerror}") from None


def lines_of(content: bytes, file: Path) -> list[str]:
    """Every line, without its line feed."""
    try:
        return content.decode().removesuffix("\n").split("\n") if content else []
    except UnicodeDecodeError:
        raise CheckpointError(f"{file} is not a file of checkpoints") from None
