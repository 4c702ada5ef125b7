"""Two checkouts in turn, for real: this one, and a copy of it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from pedro_ledger import __version__
from pedro_ledger.tools.bench import pairing
from pedro_ledger.tools.bench.checkouts import Checkout, ask, other_checkout, this_checkout
from pedro_ledger.tools.bench.comparison import run_comparison
from pedro_ledger.tools.bench.databases import USERS
from pedro_ledger.tools.bench.paired_reporting import differences, paired_report_json, print_paired_report
from pedro_ledger.tools.bench.rows import choose_comparable
from pedro_ledger.tools.bench.session import Options
from tests.support.databases import PG_BIN, temporary_folder
from tests.support.patience import PATIENCE_S
from tests.support.processes import environment
from tests.tools.bench.conftest import copy_checkout

OPENINGS = USERS + 1
PROC = pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="there is no /proc")


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_folder() as folder:
        yield folder


def options(*groups: str, pairs: int) -> Options:
    rows = choose_comparable(list(groups))
    return Options(rows, pairs, 1, None, 0, 0, Path(PG_BIN) if PG_BIN else None)


def test_pairs_of_a_checkout_and_its_copy(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_checkout(tmp_path)
    (tmp_path / "pedro_ledger" / "__init__.py").write_text('"""The copy."""\n__version__ = "9.9.9"\n')
    monkeypatch.setattr(pairing, "SETTLE_S", 0.0)
    said: list[str] = []
    checkouts = [ask(this_checkout()), ask(other_checkout(tmp_path))]
    report = run_comparison(options("batch", pairs=2), checkouts, folder, said.append)
    shown = orjson.loads(orjson.dumps(paired_report_json(report, 0.01)))
    assert [row["errors"] for row in shown["rows"]] == [{}]
    assert shown["sound"], shown["verify"]
    assert [line for line in said if line.startswith("pair")] == [
        "pair 1 of 2: batch, this", "pair 1 of 2: batch, other", "pair 2 of 2: batch, other", "pair 2 of 2: batch, this",
    ]  # fmt: skip
    [row] = shown["rows"]
    assert [pair["first"] for pair in row["pairs"]] == ["this", "other"]
    for pair in row["pairs"]:
        assert pair["ratios"]["rate"] == pytest.approx(pair["this"]["rate"] / pair["other"]["rate"], rel=0.01)
        assert pair["ratios"]["cpu"] == pytest.approx(pair["this"]["cpu"] / pair["other"]["cpu"], rel=0.01)
        for side in (pair["this"], pair["other"]):
            assert side["operations"] > 0
            assert 1 < side["daemon"] < side["cpu"]
            assert side["cpu"] == pytest.approx(side["daemon"] + side["postgres"], rel=0.01)
    assert row["measures"]["cpu"]["interval"] is None, "two pairs do not make an interval"
    assert row["measures"]["cpu"]["verdict"] == "unclear"
    for side, version in (("this", __version__), ("other", "9.9.9")):
        assert f'"version":"{version}"' in (folder / side / "daemon.log").read_text(), "each runs its own code"

    books = {each["database"]: orjson.loads(each["says"]) for each in shown["verify"]}
    assert books.keys() == {"this_ledger", "other_ledger"}
    for side in ("this", "other"):
        ledger = books[f"{side}_ledger"]
        assert ledger["problems"] == []
        assert ledger["entries"] == OPENINGS + shown["operations"][side], "each side's load went to its own ledger"

    out = StringIO()
    print_paired_report(report, 0.01, Console(file=out, width=124))
    assert str(tmp_path) in out.getvalue()
    assert "unclear" in out.getvalue()
    assert "…" not in out.getvalue(), "nothing is cut off"


def test_what_else_differs_is_told() -> None:
    this = Checkout(
        "this", Path("/a"), "python", None, None, {"python": "3.11.7", "aiohttp": "3.14", "pedro-ledger": "2"}
    )
    other = Checkout(
        "other", Path("/b"), "python", None, None, {"python": "3.11.7", "aiohttp": "3.13", "pedro-ledger": "1"}
    )
    assert differences(this, this) == []
    assert differences(this, other) == ["aiohttp is 3.14 for this and 3.13 for other: the ratios are of both"]


def test_rollups_follow_closely_under_the_name_that_the_checkout_knows() -> None:
    def settings(*known: str) -> dict[str, str]:
        return pairing.daemon_settings(Checkout("other", Path("/b"), "python", None, None, {}, frozenset(known)))

    assert settings("rollup_interval_s", "port") == {"PEDRO_ROLLUP_INTERVAL_S": "1"}
    assert settings("reports_fold_s") == {"PEDRO_REPORTS_FOLD_S": "1"}
    assert settings("port") == {}


@contextmanager
def bench(data: Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own."""
    given = [*arguments, "--data-dir", data, "--generator", "own", *(["--postgres-bin", PG_BIN] if PG_BIN else [])]
    process = subprocess.Popen(
        [sys.executable, "-m", "pedro_ledger", "bench", *map(str, given)],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def started_in(folder: Path) -> dict[int, str]:
    """The processes that the bench started over this data folder, by their number: daemons,
    PostgreSQL and its keeper.
    """
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command, variables = (place / "cmdline").read_bytes(), (place / "environ").read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in variables or (b"postgres" in command and os.fsencode(folder) in command):
            found[int(place.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def is_measuring(folder: Path) -> bool:
    """Both daemons serve."""
    logs = [folder / side / "daemon.log" for side in ("this", "other")]
    return all(log.exists() and "listening on" in log.read_text() for log in logs)


@PROC
def test_the_death_of_the_other_daemon_ends_everything(folder: Path, tmp_path: Path) -> None:
    copy_checkout(tmp_path)
    with bench(folder, "--against", tmp_path, "--rows", "batch", "--pairs", 100) as process:
        wait_for(lambda: is_measuring(folder), "the daemons do not start")
        [daemon] = [
            pid for pid, command in started_in(folder).items()
            if "pedro_ledger serve" in command and os.path.samefile(f"/proc/{pid}/cwd", tmp_path)
        ]  # fmt: skip
        os.kill(daemon, signal.SIGKILL)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2, err
    assert f"other ({tmp_path}): daemon ended while it was measured, with status -9" in err
    assert out == ""
    wait_for(lambda: not started_in(folder), "something was left running")


@PROC
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)],
    ids=str,
)
def test_an_interrupted_run_leaves_nothing_running(
    folder: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    copy_checkout(tmp_path)
    with bench(folder, "--against", tmp_path, "--rows", "batch", "--pairs", 100, "--json") as process:
        wait_for(lambda: is_measuring(folder), "the daemons do not start")
        assert len(started_in(folder)) > 3, "two daemons, a server and its keeper"
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == status, err
    assert out == ""
    wait_for(lambda: not started_in(folder), "something was left running")


@PROC
def test_a_checkout_that_does_not_start_is_named_in_one_line(folder: Path, tmp_path: Path) -> None:
    copy_checkout(tmp_path)
    (tmp_path / "pedro_ledger" / "cli" / "serve.py").write_text('raise SystemExit("it is broken")\n')
    with bench(folder, "--against", tmp_path, "--rows", "hot") as process:
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert out == ""
    assert err.splitlines()[-1] == f"pedro-ledger: other ({tmp_path}): daemon did not start: it is broken"
    assert "Traceback" not in err
    wait_for(lambda: not started_in(folder), "something was left running")
