"""Reports for operators."""

from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.reading import query
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response
from pedro_ledger.api.operation_types import OperationTypes
from pedro_ledger.api.schemas.answers import Report
from pedro_ledger.api.schemas.queries import ReportQuery
from pedro_ledger.reports.catalogue import REPORTS, Asked
from pedro_ledger.reports.formats import TYPES, render
from pedro_ledger.store.reports.reader import ReportReader


async def report(request: Request, reports: ReportReader, operation_types: OperationTypes) -> Response[Report]:
    """A report by its name, as JSON, CSV or NDJSON.

    Each report takes some of the parameters, and refuses the others.
    """
    name = request.path_values["report"]
    wanted = REPORTS.get(name)
    if wanted is None:
        raise Problem(404, "report_not_found", "No such report", f"The reports are {', '.join(sorted(REPORTS))}.")
    given = query(request, ReportQuery, takes={"format", *wanted.takes})
    if given.operation is not None:
        operation_types.require(given.operation)
    rows = await wanted.rows(reports, Asked(given.since, given.until, given.operation, given.limit))
    charset = None if given.format == "json" else "utf-8"
    return Response(body=render(name, rows, given.format), content_type=TYPES[given.format], charset=charset)
