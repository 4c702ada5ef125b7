"""Which code a daemon under test runs: this package, or another checkout with the interpreter that
belongs to it.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from pedro_ledger.tools.bench.loads import BenchError
from pedro_ledger.tools.bench.machine import PACKAGES

PROBE_TIMEOUT_S = 60.0
_PROBE = """
import json, platform, sys
from importlib.metadata import PackageNotFoundError, version
import pedro_ledger
def installed(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
try:
    from pedro_ledger.settings import Settings
    settings = sorted(Settings.model_fields)
except (ImportError, AttributeError):
    settings = []
versions = {"python": platform.python_version()} | {package: installed(package) for package in sys.argv[1:]}
print(json.dumps({"file": pedro_ledger.__file__, "versions": versions, "settings": settings}))
"""


@dataclass(frozen=True, slots=True)
class Checkout:
    """Code and the Python that runs it."""

    name: str
    """What reports and errors call it."""
    root: Path
    """The folder that holds the package `pedro_ledger`."""
    python: str
    path: str | None
    """PYTHONPATH of its processes; None where its Python finds the package by itself."""
    commit: str | None
    """Its commit, `+` after it where files differ from it; None where git does not know the
    folder.
    """
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of Python and the packages that matter for speed, once it was asked."""
    settings: frozenset[str] = frozenset()
    """The names of its daemon's settings, once it was asked."""

    @property
    def how(self) -> str:
        """Which code runs on which Python, in a line for people."""
        given = f"PYTHONPATH={self.path} " if self.path is not None else ""
        return f"{self.root} at {self.commit or 'no commit'}: {given}{self.python} -m pedro_ledger"

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """The environment of its processes: what is given, but for what would lead to other
        code.
        """
        kept = {name: value for name, value in given.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
        return kept if self.path is None else kept | {"PYTHONPATH": self.path}


def this_checkout() -> Checkout:
    """The code that runs now."""
    root = _own_root()
    return Checkout("this", root, sys.executable, os.environ.get("PYTHONPATH"), _commit(root))


def other_checkout(folder: Path) -> Checkout:
    """The checkout in `folder`, on its own Python where it has one.

    Raises `BenchError` where there is none to compare with.
    """
    root = folder.resolve()
    if not (root / "pedro_ledger" / "__init__.py").is_file():
        raise BenchError(f"--against {folder}: no checkout of pedro-ledger is there (no pedro_ledger/__init__.py)")
    if root == _own_root().resolve():
        raise BenchError(f"--against {folder}: that is the checkout that runs now; name another one, such as a clone")
    if not any((root / "sql" / "migrations").glob("*.sql")):
        raise BenchError(f"--against {folder}: it has no migrations (no sql/migrations/*.sql)")
    own_python = root / ".venv" / "bin" / "python"
    python, path = (str(own_python), None) if own_python.exists() else (sys.executable, str(root))
    return Checkout("other", root, python, path, _commit(root))


def ask(checkout: Checkout) -> Checkout:
    """The same with what its Python says of itself.

    Raises `BenchError` where that Python would run other code, or none.
    """
    said = _probe(checkout)
    found = Path(said["file"]).resolve().parents[1]
    if found != checkout.root.resolve():
        raise BenchError(
            f"{checkout.python} runs the package of {found}, not that of {checkout.root}: install it into its .venv"
        )
    return replace(checkout, versions=said["versions"], settings=frozenset(said["settings"]))


def _own_root() -> Path:
    return Path(__file__).parents[3]


def _probe(checkout: Checkout) -> dict[str, Any]:
    """Ask the interpreter what it would run.

    From `/`, for the working directory must not decide it.
    """
    try:
        done = subprocess.run(
            [checkout.python, "-c", _PROBE, *PACKAGES],
            env=checkout.environment(os.environ),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
        if done.returncode == 0:
            said: dict[str, Any] = orjson.loads(done.stdout.splitlines()[-1])
            return said
        why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        why = str(error)
    raise BenchError(f"{checkout.python} cannot import the package of {checkout.root}: {why}")


def _commit(root: Path) -> str | None:
    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    top = git("rev-parse", "--show-toplevel")
    if (
        top is None or Path(top).resolve() != root.resolve()
    ):  # a folder inside another repository has no commit of its own
        return None
    commit = git("rev-parse", "--short=10", "HEAD")
    return commit if commit is None or not git("status", "--porcelain", "--untracked-files=no") else commit + "+"
