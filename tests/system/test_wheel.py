"""The wheel carries what it needs and runs where there is no checkout."""

import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.places import ROOT


@pytest.mark.embedded
def test_the_wheel_installs_and_runs(tmp_path: Path) -> None:
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(ROOT),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        carried = {name for name in archive.namelist() if name.startswith("pedro_ledger/config/")}
    assert carried == {
        f"pedro_ledger/{file.relative_to(ROOT)}" for file in (ROOT / "config").rglob("*") if file.is_file()
    }
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)],
        check=True, capture_output=True,
    )  # fmt: skip
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    here = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "dependencies.pth").write_text(here + "\n")
    script = (
        "import pedro_ledger, pathlib; from pedro_ledger.store.schema.migrations import migration_files; "
        "from pedro_ledger.store.journal.commit import COMMIT_BATCH; "
        "from pedro_ledger.api.endpoints.pages import reference; assert '## no_price' in reference('errors.md'); "
        "from pedro_ledger.cli.seed import example_file; assert 'site-packages' in str(example_file()); "
        "assert 'site-packages' in pedro_ledger.__file__; print(len(migration_files()), len(COMMIT_BATCH) > 1000)"
    )
    ran = subprocess.run([str(python), "-I", "-c", script], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert ran.stdout.split()[1] == "True"
    told = subprocess.run(
        [str(tmp_path / "venv" / "bin" / "pedro-ledger"), "--help"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "serve" in told.stdout


def test_the_image_is_built_of_everything_that_the_wheel_needs() -> None:
    """The folders that the wheel carries are copied before it is built."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = re.findall(r"^COPY (\S+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for needed in (*build["packages"], *build["force-include"]):
        assert any(Path(needed).is_relative_to(each) for each in copied), f"the Dockerfile does not copy {needed}"
