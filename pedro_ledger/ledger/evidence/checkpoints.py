"""Checkpoints: signed statements of where every account stood at one moment, each carrying the hash
of the one before.

A checkpoint's root is that of the Merkle tree (see `merkle`) whose leaves are the accounts in order
of the UTF-8 bytes of their user ids. A leaf is the UTF-8 text of these fields with one NUL between
two of them: `pedro-leaf1`, user_id, seq of the last entry, its hash in lower-case hexadecimal (64
zeros before the first entry), credits posted, credits held.

Signed (Ed25519) is the UTF-8 text of `pedro-checkpoint-1`, number, at, accounts, entries, root,
previous, publicKey, in the same manner; the values are those of the fields of the line, which is a
JSON object without spaces. `previous` is the SHA-256 of the line before, without its line feed; 64
zeros in the first line.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from pedro_ledger.ledger.evidence.strict_json import EvidenceError, count, digest, read_object, require_fields, text

FORMAT = "pedro-checkpoint-1"
LEAF_VERSION = "pedro-leaf1"
PAGE_LEAVES = 1024
"""A power of two, so that pages are subtrees."""
NONE_BEFORE = bytes(32)
_FIELDS = ("format", "number", "at", "accounts", "entries", "root", "previous", "publicKey", "signature")

SignatureCheck = Callable[[bytes, bytes, bytes], bool]
"""Whether, of a public key, a signature and a message, the second is the first's signature of the
third.
"""


class Leaf(NamedTuple):
    """Where one account stood."""

    user_id: str
    seq: int
    head: bytes
    posted: int
    held: int

    def encode(self) -> bytes:
        """The leaf as it is hashed."""
        return f"{LEAF_VERSION}\0{self.user_id}\0{self.seq}\0{self.head.hex()}\0{self.posted}\0{self.held}".encode()


def parse_leaves(page: bytes) -> Iterator[Leaf]:
    """The leaves of a page, which are joined by NUL. Raises `EvidenceError`."""
    fields = page.decode("utf-8", "replace").split("\0") if page else []
    if len(fields) % 6 or set(fields[::6]) > {LEAF_VERSION}:
        raise EvidenceError("a page of sealed accounts is damaged")
    for at in range(0, len(fields), 6):
        _, user_id, seq, head, posted, held = fields[at : at + 6]
        try:
            yield Leaf(user_id, int(seq), bytes.fromhex(head), int(posted), int(held))
        except ValueError:
            raise EvidenceError("a page of sealed accounts is damaged") from None


class Checkpoint(NamedTuple):
    """One signed statement."""

    number: int
    """From 1, without gaps."""
    at: str
    """The moment of the snapshot, as in 2026-11-23T08:00:00.000Z."""
    accounts: int
    entries: int
    """The sum of all accounts' seq."""
    root: bytes
    previous: bytes
    public_key: bytes
    signature: bytes = b""

    @property
    def statement(self) -> bytes:
        """What is signed."""
        return (
            f"{FORMAT}\0{self.number}\0{self.at}\0{self.accounts}\0{self.entries}\0{self.root.hex()}\0{self.previous.hex()}"
            f"\0{self.public_key.hex()}"
        ).encode()

    def json(self) -> dict[str, Any]:
        """The fields of the line."""
        return {
            "format": FORMAT,
            "number": self.number,
            "at": self.at,
            "accounts": self.accounts,
            "entries": self.entries,
            "root": self.root.hex(),
            "previous": self.previous.hex(),
            "publicKey": self.public_key.hex(),
            "signature": self.signature.hex(),
        }

    @property
    def line(self) -> str:
        """The line of the file, without its line feed."""
        return json.dumps(self.json(), separators=(",", ":"))


def line_hash(line: str) -> bytes:
    """What the next line carries as `previous`."""
    return sha256(line.encode()).digest()


def checkpoint_of(value: Any) -> Checkpoint:
    """A checkpoint from its fields; its signature is not checked. Raises `EvidenceError`."""
    fields = require_fields(value, _FIELDS, "the checkpoint")
    if fields["format"] != FORMAT:
        raise EvidenceError(f"the checkpoint's format is not {FORMAT}")
    return Checkpoint(
        count(fields["number"], "number"),
        text(fields["at"], "at"),
        count(fields["accounts"], "accounts"),
        count(fields["entries"], "entries"),
        digest(fields["root"], "root"),
        digest(fields["previous"], "previous"),
        digest(fields["publicKey"], "publicKey"),
        digest(fields["signature"], "signature", 64),
    )


def read_lines(
    lines: Sequence[str],
    is_signed: SignatureCheck,
    public_key: bytes | None = None,
    *,
    after: Checkpoint | None = None,
) -> list[Checkpoint]:
    """The checkpoints of a file: every line signed by one key, and chained to the line before.
    Raises `EvidenceError`.

    Without `public_key` it is the first line's. `after` is a checkpoint that was read before, and
    `lines` those that follow it; without it they are the whole file.
    """
    found: list[Checkpoint] = []
    previous = NONE_BEFORE if after is None else line_hash(after.line)
    last = after
    for number, line in enumerate(lines, 1 if after is None else after.number + 1):
        try:
            each = checkpoint_of(read_object(line))
            _require(each.line == line, "it is not written as it must be")
            _require(each.number == number, f"its number is {each.number}")
            _require(each.previous == previous, "it does not carry the hash of the line before")
            _require(each.public_key == (public_key or each.public_key), "another key signed it")
            _require(is_signed(each.public_key, each.signature, each.statement), "its signature is not valid")
            if last is not None:
                _require(each.at >= last.at, "it is older than the line before")
                grew = each.entries >= last.entries and each.accounts >= last.accounts
                _require(grew, "the ledger shrank since the line before")
        except EvidenceError as error:
            raise EvidenceError(f"line {number}: {error}") from None
        public_key, previous, last = each.public_key, line_hash(line), each
        found.append(each)
    return found


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise EvidenceError(otherwise)
