"""The Ed25519 key that signs checkpoints: a PEM file that only its owner may read."""

import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from pedro_ledger.proofs.errors import CheckpointError


class Signer:
    """Signs with one private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key().public_bytes_raw()
        """32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes."""
        return self._key.sign(message)


def make_key(file: Path) -> Signer:
    """Make a key and keep it in `file`, for its owner alone.

    Raises `CheckpointError` where there is one already.
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(pem)
            out.flush()
            os.fsync(out.fileno())
    except FileExistsError:
        raise CheckpointError(
            f"{file} is there already; keep it: what it signed is checked with its public key"
        ) from None
    except OSError as error:
        raise CheckpointError(f"cannot write {file}: {error.strerror}") from None
    return Signer(key)


def load_key(file: Path) -> Signer:
    """The key in `file`. Raises `CheckpointError`, which says what to do."""
    try:
        if file.stat().st_mode & 0o077:
            raise CheckpointError(f"{file} can be read by others than its owner: chmod 600 it")
        pem = file.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(
            f"there is no key at {file}: make one with pedro-ledger checkpoint --make-key, or set PEDRO_CHECKPOINT_KEY_FILE"
        ) from None
    except OSError as error:
        raise CheckpointError(f"cannot read {file}: {error.strerror}") from None
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        raise CheckpointError(f"{file} is not an unencrypted private key in PEM form") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise CheckpointError(f"{file} is not an Ed25519 key")
    return Signer(key)


def is_signed(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is that of `message` by the owner of `public_key`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
