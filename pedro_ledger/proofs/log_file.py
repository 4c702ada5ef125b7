"""The checkpoints' file outside the database: one line each, appended and synced to the disk, never rewritten."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pedro_ledger.proofs.errors import CheckpointError
from pedro_ledger.proofs.fsync import sync


class LogFile:
    """The lines of a file of checkpoints, locked against other processes."""

    def __init__(self, descriptor: int, file: Path) -> None:
        self._descriptor = descriptor
        self._file = file
        with open(descriptor, "rb", closefd=False) as opened:
            content = opened.read()
        end = content.rfind(b"\n") + 1
        if end < len(content):  # a line that was cut short while it was appended, and never counted
            os.ftruncate(descriptor, end)
        self.lines = lines_of(content[:end], file)

    def append(self, lines: Sequence[str]) -> None:
        """Add lines; they are on the disk when this returns."""
        if not lines:
            return
        data = "".join(line + "\n" for line in lines).encode()
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise CheckpointError(f"cannot write {self._file}: {error.strerror}") from None
        self.lines += lines


@contextmanager
def opened_log(file: Path) -> Iterator[LogFile]:
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
        yield LogFile(descriptor, file)
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
