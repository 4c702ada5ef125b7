"""Proofs: everything that it takes to check one entry against a signed checkpoint, without the
ledger.

The entry's hash follows from `previousHash` and what the entry says (see `chain`). `after` holds
the SHA-256 of the canonical form of each entry that came later, up to the account's head in the
checkpoint: they lead from the entry's hash to that head and tell nothing of what those entries say.
The head makes the account's leaf, `path` leads from the leaf, number `index` from 0 of `accounts`,
to the checkpoint's root (see `merkle`), and the root is signed (see `checkpoints`).

The proof of an entry that has effects has the format `pedro-proof-2`, and `effects` among the
entry's fields: the text as it is hashed. Every other proof is `pedro-proof-1`.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from pedro_ledger.ledger.chain import canonical_form
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.evidence.checkpoints import Checkpoint, Leaf, SignatureCheck, checkpoint_of
from pedro_ledger.ledger.evidence.merkle import follow_path, leaf_hash
from pedro_ledger.ledger.evidence.strict_json import (
    EvidenceError,
    count,
    digest,
    digests,
    integer,
    maybe,
    read_object,
    require_fields,
    text,
)  # fmt: skip

FORMAT = "pedro-proof-1"
FORMAT_WITH_EFFECTS = "pedro-proof-2"
_FIELDS = ("format", "entry", "previousHash", "after", "account", "index", "path", "checkpoint")
_ENTRY_FIELDS = (
    "userId", "seq", "id", "type", "operationType", "credits", "balanceAfter", "heldAfter", "relatedSeq", "source", "expiresAtMs",
    "priority", "idempotencyKey", "fingerprint", "keyId", "price", "details", "atMs",
)  # fmt: skip


class Proof(NamedTuple):
    """An entry and its way to a signed root."""

    user_id: str
    entry: Entry
    """Its `hash` is what follows from the proof."""
    previous: bytes
    after: Sequence[bytes]
    posted: int
    """Of the account, when it was sealed."""
    held: int
    place: int
    path: Sequence[bytes]
    checkpoint: Checkpoint

    @property
    def leaf(self) -> Leaf:
        """The sealed account, as it follows from the entry and those after it."""
        head = chain_on(self.previous, sha256(canonical_form(self.user_id, self.entry)).digest())
        for each in self.after:
            head = chain_on(head, each)
        return Leaf(self.user_id, self.entry.seq + len(self.after), head, self.posted, self.held)

    def json(self) -> dict[str, Any]:
        """The proof as it is handed out."""
        *fields, _, effects = self.entry
        said = [each.hex() if isinstance(each, bytes) else each for each in (self.user_id, *fields)]
        entry = dict(zip(_ENTRY_FIELDS, said, strict=True))
        if effects is not None:
            entry["effects"] = effects
        return {
            "format": FORMAT if effects is None else FORMAT_WITH_EFFECTS,
            "entry": entry,
            "previousHash": self.previous.hex(),
            "after": [each.hex() for each in self.after],
            "account": {"posted": self.posted, "held": self.held},
            "index": self.place,
            "path": [each.hex() for each in self.path],
            "checkpoint": self.checkpoint.json(),
        }


def chain_on(previous: bytes, form_digest: bytes) -> bytes:
    """The hash of the entry whose canonical form has this digest."""
    return sha256(previous + form_digest).digest()


def parse_proof(document: bytes | str) -> Proof:
    """A proof as it was handed out.

    Raises `EvidenceError`; whether it proves anything, `check` tells.
    """
    fields = require_fields(read_object(document), _FIELDS, "the proof")
    if fields["format"] not in {FORMAT, FORMAT_WITH_EFFECTS}:
        raise EvidenceError(f"the proof's format is not {FORMAT} or {FORMAT_WITH_EFFECTS}")
    has_effects = fields["format"] == FORMAT_WITH_EFFECTS
    said = require_fields(fields["entry"], (*_ENTRY_FIELDS, "effects") if has_effects else _ENTRY_FIELDS, "entry")
    account = require_fields(fields["account"], ("posted", "held"), "account")
    previous = digest(fields["previousHash"], "previousHash")
    entry = Entry(
        integer(said["seq"], "seq"),
        text(said["id"], "id"),
        text(said["type"], "type"),
        maybe(text, said["operationType"], "operationType"),
        integer(said["credits"], "credits"),
        count(said["balanceAfter"], "balanceAfter"),
        count(said["heldAfter"], "heldAfter"),
        maybe(integer, said["relatedSeq"], "relatedSeq"),
        maybe(text, said["source"], "source"),
        maybe(integer, said["expiresAtMs"], "expiresAtMs"),
        maybe(integer, said["priority"], "priority"),
        text(said["idempotencyKey"], "idempotencyKey"),
        _fingerprint(said["fingerprint"]),
        text(said["keyId"], "keyId"),
        maybe(text, said["price"], "price"),
        maybe(text, said["details"], "details"),
        integer(said["atMs"], "atMs"),
        b"",
        text(said["effects"], "effects") if has_effects else None,
    )
    user_id = text(said["userId"], "userId")
    return Proof(
        user_id,
        entry._replace(hash=chain_on(previous, sha256(canonical_form(user_id, entry)).digest())),
        previous,
        digests(fields["after"], "after"),
        count(account["posted"], "posted"),
        count(account["held"], "held"),
        count(fields["index"], "index"),
        digests(fields["path"], "path"),
        checkpoint_of(fields["checkpoint"]),
    )


def check(proof: Proof, is_signed: SignatureCheck, public_key: bytes | None = None) -> None:
    """Raises `EvidenceError` unless the entry leads to the root, and the root is signed; by
    `public_key` where it is given.
    """
    checkpoint = proof.checkpoint
    if public_key is not None and checkpoint.public_key != public_key:
        raise EvidenceError("another key signed the checkpoint")
    if not is_signed(checkpoint.public_key, checkpoint.signature, checkpoint.statement):
        raise EvidenceError("the signature of the checkpoint is not valid")
    root = follow_path(leaf_hash(proof.leaf.encode()), proof.place, checkpoint.accounts, proof.path)
    if root != checkpoint.root:
        raise EvidenceError("the entry does not lead to the root of the checkpoint")


def _fingerprint(value: Any) -> bytes:
    length = len(value) // 2 if isinstance(value, str) else 0
    return digest(value, "fingerprint", length)
