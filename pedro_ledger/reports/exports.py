"""Exports in the forms that finance and data tools read, written as the rows come.

Each ends with how many rows it has and a digest, so that a copy that was cut off, or changed,
shows.
"""

import asyncio
import io
from hashlib import sha256
from importlib.util import find_spec
from typing import Any, NamedTuple

import orjson

from pedro_ledger.ledger.errors import OperatorError
from pedro_ledger.store.reports.exports import KEYS, ExportSession, Place, Sink, Wanted

TYPES = {
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
"""Each form and its media type."""
EXPORTS = tuple(KEYS)
"""The names of the exports."""
WRITE_BYTES = 64 << 10
"""Rows are gathered until they are so long, then written."""
ROW_GROUP_BYTES = 8 << 20
"""Of CSV, which is about what a row group of Parquet is made of and held in memory for."""
WHOLE_NUMBERS = frozenset({
    "seq", "credits", "heldChange", "balanceAfter", "heldAfter", "priority", "creditsUsed", "creditsLeft",
    "creditsReserved", "creditsHeld", "creditsCaptured",
})  # fmt: skip
"""Columns that are whole numbers in Parquet."""
MOMENTS = frozenset({"timestamp", "expiresAt", "createdAt", "closedAt"})
"""Columns that are moments in Parquet, UTC, in milliseconds."""


class MissingExtra(OperatorError):
    """Parquet was asked for, and what writes it is not installed."""


class Done(NamedTuple):
    """What was exported."""

    rows: int
    sha256: str
    """Of everything before the end line; of a Parquet file, of everything before its footer."""
    bytes_written: int


def require(form: str) -> None:
    """Raises `MissingExtra` where the form cannot be written here."""
    if form == "parquet" and find_spec("pyarrow") is None:
        raise MissingExtra("Parquet needs pyarrow, which is not installed: pip install 'pedro_ledger[parquet]'")


def place_of(name: str, text: str) -> Place | None:
    """A row as callers name it, `userId:seq` or `userId:id`; None where it is no such name."""
    user_id, colon, key = text.rpartition(":")
    is_key = key.isascii() and key.isdigit() and len(key) <= 10 if KEYS[name] == "seq" else 0 < len(key) <= 255
    return Place(user_id, key) if colon and user_id and is_key else None


async def export(session: ExportSession, name: str, wanted: Wanted, form: str, sink: Sink) -> Done:
    """Write an export to `sink`, in order of user and key, from one snapshot.

    Raises `Unavailable`, and whatever `sink` raises.
    """
    out = _Counted(sink)
    match form:
        case "csv":
            await out.write((",".join(await session.columns(name)) + "\n").encode())
            rows = await session.copy_csv(name, wanted, out.write)
            return await out.end(rows, lambda digest: f"# rows={rows} sha256={digest}\n".encode())
        case "ndjson":
            rows = await session.copy_json(name, wanted, out.write)
            return await out.end(
                rows,
                lambda digest: orjson.dumps(
                    {"end": True, "rows": rows, "sha256": digest}, option=orjson.OPT_APPEND_NEWLINE
                ),
            )
        case _:
            require(form)
            file = _ParquetFile(await session.columns(name), out)
            rows = await session.copy_csv(name, wanted, file.write)
            return await file.end(rows)


class _Counted:
    """Gathers small pieces, and counts and digests what it writes."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._digest = sha256()
        self._pieces: list[bytes] = []
        self._gathered = 0
        self.bytes_written = 0

    async def write(self, piece: bytes) -> None:
        self._pieces.append(bytes(piece))
        self._gathered += len(piece)
        if self._gathered >= WRITE_BYTES:
            await self.flush()

    async def flush(self) -> None:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._gathered = 0
        self._digest.update(data)
        self.bytes_written += len(data)
        if data:
            await self._sink(data)

    async def digest(self) -> str:
        """Of everything that was written until now."""
        await self.flush()
        return self._digest.hexdigest()

    async def end(self, rows: int, last: Any) -> Done:
        """Write what `last` makes of the digest, and tell."""
        digest = await self.digest()
        await self.write(last(digest))
        await self.flush()
        return Done(rows, digest, self.bytes_written)


class _ParquetFile:
    """Row groups made of CSV, off the event loop."""

    def __init__(self, columns: list[str], out: _Counted) -> None:
        import pyarrow as pa  # noqa: PLC0415 - an extra, loaded only for who asks for it
        import pyarrow.csv  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        self._csv = pyarrow.csv
        types = {
            name: pa.int64() if name in WHOLE_NUMBERS else pa.timestamp("ms", "UTC") if name in MOMENTS else pa.string()
            for name in columns
        }
        self._read = pyarrow.csv.ReadOptions(column_names=columns, block_size=2 * ROW_GROUP_BYTES)
        self._parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
        self._convert = pyarrow.csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )
        self._out = out
        self._made = _Made()
        self._writer = pq.ParquetWriter(self._made, pa.schema(list(types.items())), compression="zstd")
        self._rows = bytearray()

    async def write(self, rows: bytes) -> None:
        self._rows += rows
        if len(self._rows) >= ROW_GROUP_BYTES:
            await self._write_group()

    async def end(self, rows: int) -> Done:
        if self._rows:
            await self._write_group()
        digest = await self._out.digest()
        covered = self._out.bytes_written
        self._writer.add_key_value_metadata(
            {"pedro_ledger.rows": str(rows), "pedro_ledger.sha256": digest, "pedro_ledger.sha256_bytes": str(covered)}
        )
        self._writer.close()
        await self._pass_on()
        await self._out.flush()
        return Done(rows, digest, self._out.bytes_written)

    async def _write_group(self) -> None:
        rows, self._rows = bytes(self._rows), bytearray()
        await asyncio.to_thread(self._convert_group, rows)
        await self._pass_on()

    def _convert_group(self, rows: bytes) -> None:
        table = self._csv.read_csv(io.BytesIO(rows), self._read, self._parse, self._convert)
        self._writer.write_table(table)

    async def _pass_on(self) -> None:
        """Hand on what the writer has made, so that no more than a row group stays in memory."""
        for piece in self._made.taken():
            await self._out.write(piece)


class _Made(io.RawIOBase):
    """What the Parquet writer writes to: knows its length, keeps nothing that was taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        data = bytes(piece)
        self._pieces.append(data)
        self._length += len(data)
        return len(data)

    def tell(self) -> int:
        return self._length

    def taken(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        return pieces
