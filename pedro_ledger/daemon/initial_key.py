"""The key that the daemon starts with, before any was made by `pedro-ledger keys`."""

import os
from pathlib import Path
from typing import NamedTuple

from pedro_ledger.api.access.api_keys import new_key
from pedro_ledger.settings import Settings


class InitialKey(NamedTuple):
    """The key that the daemon starts with; empty where it has none."""

    key: str
    file: Path | None = None
    """Where it is kept, when the daemon made it."""
    is_new: bool = False
    """Whether it was made by this start: nobody has seen it yet."""


def api_key_of(settings: Settings, *, make: bool) -> InitialKey:
    """The key that the settings or the data folder hold; made on the first start with the embedded
    server.
    """
    if settings.api_key is not None:
        return InitialKey(settings.api_key.get_secret_value())
    file = settings.data_dir / "api-key"
    if file.exists():
        return InitialKey(file.read_text().strip(), file)
    if not make:
        return InitialKey("")
    key = new_key()
    fresh = file.with_suffix(f".{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(key + "\n")
    try:
        os.link(fresh, file)
    except FileExistsError:
        return InitialKey(file.read_text().strip(), file)
    finally:
        fresh.unlink()
    return InitialKey(key, file, is_new=True)
