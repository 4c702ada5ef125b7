"""Files that are still there after the machine lost its power."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Return once a file's content, or a folder's list of files, is on the disk.

    Raises `OSError`.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
