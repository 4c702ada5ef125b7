"""The whole bench once, short; and what it reports."""

import dataclasses
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from pedro_ledger.tools.bench.figures import Latency, RowResult, Sample
from pedro_ledger.tools.bench.reporting import print_report, report_json
from pedro_ledger.tools.bench.rows import choose
from pedro_ledger.tools.bench.session import Options, run
from pedro_ledger.tools.bench.suite import BenchPlan, BenchReport
from tests.support.databases import PG_BIN, temporary_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with temporary_folder() as folder:
        yield folder


def test_a_short_run_from_start_to_verify(folder: Path) -> None:
    rows = list(choose(["batch", "copy"]))
    postgres_bin = Path(PG_BIN) if PG_BIN else None
    options = Options(rows, repeats=1, seconds=1, wrk=None, size_users=0, size_entries=0, postgres_bin=postgres_bin)
    said: list[str] = []
    report = run(options, folder, said.append)
    assert report.is_sound, report_json(report)
    shown = orjson.loads(orjson.dumps(report_json(report)))
    assert [row["name"] for row in shown["rows"]] == ["batch", "copy"]
    assert all(row["rate"] > 0 and row["latencyMs"]["p99"] > 0 and row["errors"] == {} for row in shown["rows"])
    assert {goal["name"]: goal["reached"] for goal in shown["goals"]}["batch / copy"] is not None
    [verified] = shown["verify"]
    assert verified["status"] == 0
    assert orjson.loads(verified["says"])["problems"] == []
    assert shown["machine"]["cores"] >= 1
    assert shown["versions"]["postgresql"]
    assert said[0].startswith("warm-up")
    assert said[-1] == "verify"


def report_of(*rows: RowResult, status: int = 0) -> BenchReport:
    return BenchReport(
        {"cpu": "x", "cores": 2, "memoryGiB": 8, "system": "y", "fsyncMs": 1, "loadBefore": 0},
        {"python": "3"},
        BenchPlan(choose(["echo", "single"]), 1, 1, None),
        {row.name: row for row in rows},
        verified=[{"database": "bench_ledger", "status": status, "says": "z"}],
    )


ECHO = RowResult("echo", 64, "own", [Sample(2000, 2.0, Latency(1, 2, 3), {}, 50.0, 0.0)])
BROKEN = RowResult("single-64", 64, "own", [Sample(3456, 2.0, Latency(1, 2, 3), {"status": 1}, 50.0, 0.0)])


def printed(report: BenchReport) -> str:
    out = StringIO()
    print_report(report, Console(file=out, width=120))
    return out.getvalue()


def test_no_figure_is_printed_for_a_row_with_errors() -> None:
    report = report_of(ECHO, BROKEN)
    assert not report.is_sound
    text = printed(report)
    assert "1,000" in text
    assert "1,728" not in text
    assert "'status': 1" in text
    [echo, broken] = report_json(report)["rows"]
    assert echo["rate"] == 1000
    assert echo["errors"] == {}
    assert broken["errors"] == {"status": 1}
    figures = {"rate", "spread", "samples", "latencyMs", "serverCpuMicros", "postgresCpuMicros"}
    assert all(broken[name] is None for name in figures)
    assert figures <= {name for name, value in echo.items() if value is not None}


def test_a_ledger_that_does_not_verify_spoils_the_run() -> None:
    assert report_of(ECHO).is_sound
    assert not report_of(ECHO, status=1).is_sound
    assert "FAILED" in printed(report_of(ECHO, status=1))


def test_options_are_the_plan() -> None:
    options = Options((), 1, 2, "wrk", 0, 0, None)
    assert dataclasses.astuple(options.plan) == ((), 1, 2, "wrk")
