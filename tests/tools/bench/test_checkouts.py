import shutil
import sys
from pathlib import Path

import pytest

from pedro_ledger.tools.bench.checkouts import ask, other_checkout, this_checkout
from pedro_ledger.tools.bench.loads import BenchError
from tests.support.places import ROOT
from tests.tools.bench.conftest import copy_checkout


def test_a_folder_without_the_package_is_no_checkout(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(BenchError, match=f"--against {folder}: no checkout of pedro-ledger is there"):
            other_checkout(folder)


def test_this_checkout_is_not_compared_with_itself(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(ROOT)
    for folder in (ROOT, tmp_path / "link"):
        with pytest.raises(BenchError, match="that is the checkout that runs now"):
            other_checkout(folder)


def test_a_checkout_without_migrations_is_refused(tmp_path: Path) -> None:
    shutil.rmtree(copy_checkout(tmp_path) / "sql" / "migrations")
    with pytest.raises(BenchError, match="it has no migrations"):
        other_checkout(tmp_path)


def test_a_checkout_without_a_python_of_its_own_runs_on_this_one(tmp_path: Path) -> None:
    found = ask(other_checkout(copy_checkout(tmp_path)))
    assert (found.python, found.path) == (sys.executable, str(tmp_path))
    assert found.commit is None
    assert found.versions == ask(this_checkout()).versions
    assert "rollup_interval_s" in found.settings
    assert found.how == f"{tmp_path} at no commit: PYTHONPATH={tmp_path} {sys.executable} -m pedro_ledger"


def python_in(root: Path, script: str) -> Path:
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return python


def test_a_checkout_runs_on_its_own_python(tmp_path: Path) -> None:
    python = python_in(copy_checkout(tmp_path), f'PYTHONPATH={tmp_path} exec {sys.executable} "$@"')
    found = ask(other_checkout(tmp_path))
    assert (found.python, found.path) == (str(python), None)


def test_a_python_that_runs_other_code_is_refused(tmp_path: Path) -> None:
    """As where a checkout was copied with its .venv, into which the original is installed."""
    python = python_in(copy_checkout(tmp_path), f'exec {sys.executable} "$@"')
    with pytest.raises(BenchError, match=f"{python} runs the package of {ROOT}, not that of {tmp_path}"):
        ask(other_checkout(tmp_path))


def test_a_python_that_cannot_import_it_is_refused(tmp_path: Path) -> None:
    python_in(copy_checkout(tmp_path), "echo 'No module named pedro_ledger' >&2; exit 1")
    with pytest.raises(BenchError, match=r"cannot import the package .* No module named pedro_ledger"):
        ask(other_checkout(tmp_path))


def test_nothing_leads_its_processes_to_other_code(tmp_path: Path) -> None:
    found = other_checkout(copy_checkout(tmp_path))
    assert found.environment({"PYTHONPATH": "/elsewhere", "PYTHONHOME": "/x", "A": "b"}) == {
        "PYTHONPATH": str(tmp_path), "A": "b",
    }  # fmt: skip
