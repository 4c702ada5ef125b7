"""The app's features, by workspace. A key that is bound to one sees only its own."""

from aiohttp import web

from pedro_ledger.api.app_rows import named, row_response, rows_page, sent_fields
from pedro_ledger.api.context import Context
from pedro_ledger.api.http.paging import place_of
from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.reading import invalid_query, parse, query, query_limit
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.schemas.app_requests import FeatureBody, FeatureChange


async def list_page(request: Request, context: Context) -> web.Response:
    """Features, newest first: of one workspace, or of all."""
    given = query(request, "workspaceId", "limit", "cursor")
    limit = query_limit(given)
    bound = request.caller.workspace_id
    asked = given.get("workspaceId", bound)
    if bound is not None and asked != bound:
        raise invalid_query("workspaceId", "is another workspace than the one that the key is bound to")
    rows = await context.features.list_page(asked, place_of(given), limit + 1)
    return rows_page(rows, limit, "createdAt", "id")


async def read(request: Request, context: Context) -> web.Response:
    """One feature."""
    query(request)
    found = await context.features.read(named(request, "feature"), request.caller.workspace_id)
    return row_response(found, "feature")


async def create(request: Request, context: Context) -> web.Response:
    """Make a feature; a key that is bound to a workspace makes it there."""
    body = parse(FeatureBody, await context.json(request))
    sent_fields(body)
    bound = request.caller.workspace_id
    workspace_id = body.workspaceId if body.workspaceId is not None else bound
    if workspace_id is None or (bound is not None and workspace_id != bound):
        why = "is needed" if workspace_id is None else "is another workspace than the one that the key is bound to"
        raise Problem(422, "invalid_body", "The body is not acceptable", f"workspaceId {why}.", field="workspaceId")
    made = await context.features.make(workspace_id, body.name, body.description, body.tags)
    return row_response(made, "feature", 201)


async def change(request: Request, context: Context) -> web.Response:
    """Change a feature's name, description or tags."""
    fields = sent_fields(parse(FeatureChange, await context.json(request)))
    feature = named(request, "feature")
    return row_response(await context.features.change(feature, request.caller.workspace_id, fields), "feature")


async def delete(request: Request, context: Context) -> web.Response:
    """Delete a feature; the answer is what it was."""
    query(request)
    feature = named(request, "feature")
    return row_response(await context.features.delete(feature, request.caller.workspace_id), "feature")
