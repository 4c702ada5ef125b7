"""The forms that a report comes in: one JSON object, CSV, or a line of JSON a row."""

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime

import orjson

from pedro_ledger.reports.catalogue import REPORTS, ReportRow

TYPES = {
    "json": "application/json",
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
}
"""Each form and its media type; all are UTF-8."""


def render(name: str, rows: Sequence[ReportRow], form: str) -> bytes:
    """The report `name` in one of `TYPES`."""
    match form:
        case "csv":
            return _csv(REPORTS[name].columns, rows)
        case "ndjson":
            return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
        case _:
            at = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
            return orjson.dumps({"report": name, "timestamp": at, "items": rows})


def _csv(columns: Sequence[str], rows: Sequence[ReportRow]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()
