"""The sealer of the settings: which key signs, which file is appended to."""

from collections.abc import Callable
from pathlib import Path

from pedro_ledger.postgres.database import Database
from pedro_ledger.proofs.sealer import Sealer
from pedro_ledger.proofs.signing import load_key
from pedro_ledger.settings import Settings


def key_file_of(settings: Settings) -> Path:
    """Where the key that signs is."""
    return settings.checkpoint_key_file or settings.data_dir / "checkpoint-key.pem"


def log_file_of(settings: Settings) -> Path:
    """Where checkpoints are appended."""
    return settings.checkpoint_file or settings.data_dir / "checkpoints.ndjson"


def make_sealer(
    settings: Settings, database: Database, on_turn: Callable[[str], None] = lambda outcome: None
) -> Sealer:
    """The sealer of these settings. Raises `CheckpointError` where there is no key."""
    signer = load_key(key_file_of(settings))
    return Sealer(database, signer, log_file_of(settings), every_s=settings.checkpoint_every_s, on_turn=on_turn)
