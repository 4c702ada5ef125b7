"""Checks a proof as another program would, from the description in docs/formats/proof.md alone:
nothing here is the project's own code.
"""

import json
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORM = (
    "userId", "seq", "id", "type", "operationType", "credits", "balanceAfter", "heldAfter", "relatedSeq", "source", "expiresAtMs",
    "priority", "idempotencyKey", "fingerprint", "keyId", "price", "details", "atMs",
)  # fmt: skip
SIGNED = ("format", "number", "at", "accounts", "entries", "root", "previous", "publicKey")


def joined(*fields: object) -> bytes:
    return b"\0".join(b"" if field is None else str(field).encode() for field in fields)


def root_that_is_signed(document: bytes, public_key: bytes) -> bytes:
    """The signed root that the proof's entry leads to; raises where it leads to another one, or
    nobody signed that.
    """
    proof = json.loads(document)
    entry, account, checkpoint = proof["entry"], proof["account"], proof["checkpoint"]
    said = [entry[name] for name in FORM]
    form = joined("pedro1", *said)
    if proof["format"] == "pedro-proof-2":
        form = joined("pedro2", *said[:-1], entry["effects"], said[-1])
    digests = [sha256(form).digest()]
    digests += [bytes.fromhex(each) for each in proof["after"]]
    head = bytes.fromhex(proof["previousHash"])
    for digest in digests:
        head = sha256(head + digest).digest()
    seq = entry["seq"] + len(proof["after"])
    leaf = joined("pedro-leaf1", entry["userId"], seq, head.hex(), account["posted"], account["held"])
    root = climb(sha256(b"\0" + leaf).digest(), proof["index"], checkpoint["accounts"], proof["path"])
    assert root.hex() == checkpoint["root"]
    assert checkpoint["publicKey"] == public_key.hex()
    message = joined(*(checkpoint[name] for name in SIGNED))
    Ed25519PublicKey.from_public_bytes(public_key).verify(bytes.fromhex(checkpoint["signature"]), message)
    return root


def climb(node: bytes, index: int, size: int, path: list[str]) -> bytes:
    """The recursive definition of RFC 6962's audit path, the last hash of the path being the one at
    the top.
    """
    if size == 1:
        assert not path
        return node
    left = 1
    while left * 2 < size:
        left *= 2
    top = bytes.fromhex(path[-1])
    if index < left:
        return sha256(b"\1" + climb(node, index, left, path[:-1]) + top).digest()
    return sha256(b"\1" + top + climb(node, index - left, size - left, path[:-1])).digest()
