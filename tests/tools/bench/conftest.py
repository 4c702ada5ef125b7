"""Fixtures of the bench's tests."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pedro_ledger.tools.bench.generator import Job
from pedro_ledger.tools.bench.processes import Server
from tests.support.places import ROOT


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The echo as a process of its own."""
    log = tmp_path_factory.mktemp("echo") / "log"
    server = Server("the echo", [sys.executable, "-m", "pedro_ledger.tools.bench.echo"], os.environ, log)
    yield server
    server.stop()


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    file = tmp_path / "users"
    file.write_text("ana\nbia\ncleo\n")
    return file


def job_for(port: int, users_file: Path, **changes: object) -> Job:
    given = {
        "port": port, "connections": 3, "users_file": str(users_file), "api_key": "key", "key_prefix": "p", **changes
    }  # fmt: skip
    return Job(**given)  # type: ignore[arg-type]


def copy_checkout(folder: Path) -> Path:
    """Copy this checkout into `folder`, but for its history, its environment and its tests."""
    kept_out = shutil.ignore_patterns(".*", "tests", "clients", "dist", "build")
    return Path(shutil.copytree(ROOT, folder, ignore=kept_out, dirs_exist_ok=True))
