"""The key that the daemon starts with, before any was made by `pedro-ledger keys`."""

import os
from pathlib import Path

from pedro_ledger.api.access.api_keys import new_key
from pedro_ledger.settings import Settings


def api_key_of(settings: Settings, *, make: bool) -> tuple[str, Path | None]:
    """The key that the settings or the data folder hold, and the file that it is in; made on the
    first start with the embedded server.
    """
    if settings.api_key is not None:
        return settings.api_key.get_secret_value(), None
    file = settings.data_dir / "api-key"
    if file.exists():
        return file.read_text().strip(), file
    if not make:
        return "", None
    key = new_key()
    fresh = file.with_suffix(f".{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(key + "\n")
    try:
        os.link(fresh, file)
    except FileExistsError:
        key = file.read_text().strip()
    finally:
        fresh.unlink()
    return key, file
