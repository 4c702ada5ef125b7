"""Reports for operators."""

from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.reading import parse, parse_moment, query, read_json, refuse_unstorable
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response, json_response
from pedro_ledger.api.operation_types import OperationTypes
from pedro_ledger.api.schemas.app_requests import WhatIfBody
from pedro_ledger.api.schemas.operator_answers import Report, WhatIf
from pedro_ledger.api.schemas.queries import NoQuery, ReportQuery
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


async def what_if(request: Request, reports: ReportReader) -> Response[WhatIf]:
    """What was charged in a span of time, and what other prices would have charged."""
    query(request, NoQuery)
    body = parse(WhatIfBody, await read_json(request))
    refuse_unstorable(
        [*body.featureCosts, *[model for models in body.tokenPrices.values() for model in models]], "body"
    )
    token_prices = {
        operation_type: {model: price.model_dump(exclude_none=True) for model, price in models.items()}
        for operation_type, models in body.tokenPrices.items()
    }
    rows = await reports.what_if(
        parse_moment("from", body.since), parse_moment("to", body.until), body.featureCosts, token_prices, body.limit
    )
    found: WhatIf = {
        "credits": rows[0]["all_credits"] if rows else 0,
        "creditsWouldBe": rows[0]["all_would_be"] if rows else 0,
        "items": [
            {
                "userId": row["user_id"],
                "operationType": row["operation_type"],
                "model": row["model"],
                "operations": row["operations"],
                "credits": row["credits"],
                "creditsWouldBe": row["would_be"],
            }
            for row in rows
        ],
    }
    return json_response(found)
