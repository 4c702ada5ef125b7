"""Whole tables as files."""

import asyncio

from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.reading import invalid_query, query
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.streaming import StreamedResponse, streamed
from pedro_ledger.api.schemas.queries import ExportQuery
from pedro_ledger.ledger.errors import Overloaded
from pedro_ledger.reports.exports import EXPORTS, TYPES, MissingExtra, export, place_of, require
from pedro_ledger.store.reports.exports import ExportReader, Wanted


async def stream(request: Request, exports: ExportReader, export_slots: asyncio.Semaphore) -> StreamedResponse[str]:
    """A whole table from one snapshot, by user, as CSV, NDJSON or Parquet.

    Its last line (of Parquet: its metadata) has the number of rows and a SHA-256 of all before it.
    One that was cut off goes on with `after`: the `userId` of the last row that came whole and its
    `seq` (of usage: its `id`), with a colon between.
    """
    name = request.path_values["export"]
    if name not in EXPORTS:
        raise Problem(404, "export_not_found", "No such export", f"The exports are {', '.join(EXPORTS)}.")
    given = query(request, ExportQuery)
    after = None
    if given.after is not None and (after := place_of(name, given.after)) is None:
        raise invalid_query("after", "must be the userId of a row and its seq (of usage: its id), with a colon between")
    try:
        require(given.format)
    except MissingExtra as error:
        raise invalid_query("format", f"must be csv or ndjson on this daemon. {error}") from None
    if export_slots.locked():
        raise Overloaded(
            "As many exports as this replica makes at a time are under way. Try again later.", reason="exports"
        )
    wanted = Wanted(given.since, given.until, after)
    headers = {"Content-Disposition": f'attachment; filename="{name}.{given.format}"'}
    async with export_slots, exports.session() as session:
        return await streamed(
            request, TYPES[given.format], headers, lambda write: export(session, name, wanted, given.format, write)
        )
