"""Finds and reads the SQL that the package carries: `sql/queries/<area>/<name>.sql`, one query a
file.
"""

from importlib.resources import files
from pathlib import Path


def sql_folder() -> Path:
    """The folder `sql`: inside the package when installed from a wheel, beside it in a checkout."""
    package = Path(str(files("pedro_ledger")))
    for folder in (package / "sql", package.parent / "sql"):
        if (folder / "migrations").is_dir():
            return folder
    raise FileNotFoundError("pedro_ledger's sql folder is missing: install the package again")


class SqlFiles:
    """The queries of one area, read once."""

    def __init__(self, area: str) -> None:
        self._area = area
        folder = sql_folder() / "queries" / area
        self._texts = {file.stem: file.read_text(encoding="utf-8") for file in folder.glob("*.sql")}
        if not self._texts:
            raise LookupError(f"there is no query in sql/queries/{area}")

    def __getitem__(self, name: str) -> str:
        try:
            return self._texts[name]
        except KeyError:
            raise LookupError(f"there is no sql/queries/{self._area}/{name}.sql") from None
