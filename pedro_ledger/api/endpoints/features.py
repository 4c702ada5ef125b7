"""The app's features, by workspace. A key that is bound to one sees only its own."""

from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.reading import invalid_query, parse, query, read_json, sent_fields
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response
from pedro_ledger.api.http.rows import row_id, row_response, rows_page
from pedro_ledger.api.schemas.answers import Page
from pedro_ledger.api.schemas.app_answers import Feature
from pedro_ledger.api.schemas.app_requests import FeatureBody, FeatureChange
from pedro_ledger.api.schemas.queries import FeaturesQuery, NoQuery
from pedro_ledger.store.app.features import FeatureStore


async def list_page(request: Request, features: FeatureStore) -> Response[Page[Feature]]:
    """Features, newest first: of one workspace, or of all."""
    given = query(request, FeaturesQuery)
    bound = request.caller.workspace_id
    asked = bound if given.workspaceId is None else given.workspaceId
    if bound is not None and asked != bound:
        raise invalid_query("workspaceId", "is another workspace than the one that the key is bound to")
    rows = await features.list_page(asked, given.cursor, given.limit + 1)
    return rows_page(Feature, rows, given.limit, "createdAt", "id")


async def read(request: Request, features: FeatureStore) -> Response[Feature]:
    """One feature."""
    query(request, NoQuery)
    found = await features.read(row_id(request, "feature"), request.caller.workspace_id)
    return row_response(Feature, found, "feature")


async def create(request: Request, features: FeatureStore) -> Response[Feature]:
    """Make a feature; a key that is bound to a workspace makes it there."""
    body = parse(FeatureBody, await read_json(request))
    sent_fields(body)
    bound = request.caller.workspace_id
    workspace_id = body.workspaceId if body.workspaceId is not None else bound
    if workspace_id is None or (bound is not None and workspace_id != bound):
        why = "is needed" if workspace_id is None else "is another workspace than the one that the key is bound to"
        raise Problem(422, "invalid_body", "The body is not acceptable", f"workspaceId {why}.", field="workspaceId")
    made = await features.make(workspace_id, body.name, body.description, body.tags)
    return row_response(Feature, made, "feature", 201)


async def change(request: Request, features: FeatureStore) -> Response[Feature]:
    """Change a feature's name, description or tags."""
    fields = sent_fields(parse(FeatureChange, await read_json(request)))
    feature = row_id(request, "feature")
    return row_response(Feature, await features.change(feature, request.caller.workspace_id, fields), "feature")


async def delete(request: Request, features: FeatureStore) -> Response[Feature]:
    """Delete a feature; the answer is what it was."""
    query(request, NoQuery)
    feature = row_id(request, "feature")
    return row_response(Feature, await features.delete(feature, request.caller.workspace_id), "feature")
