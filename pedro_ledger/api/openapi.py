"""The description of the API (OpenAPI 3.1), made from the route table and the models, so that it cannot drift from either."""

import re
from typing import Any

from pydantic.json_schema import models_json_schema

from pedro_ledger import __version__
from pedro_ledger.api.routes import PUBLIC, ROUTES, Route
from pedro_ledger.api.schemas.requests import BatchDeduct, BatchGrant, BatchRefund
from pedro_ledger.ledger.account import CREDITS_MAX
from pedro_ledger.reports.catalogue import REPORTS
from pedro_ledger.reports.formats import TYPES

_REF = "#/components/schemas/"
_TEXT: dict[str, Any] = {"type": "string"}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_MAYBE_TEXT: dict[str, Any] = {"type": ["string", "null"]}
_TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
_MAYBE_TIME: dict[str, Any] = {"type": ["string", "null"], "format": "date-time"}
_DAY: dict[str, Any] = {"type": "string", "format": "date"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": CREDITS_MAX}
_SIGNED: dict[str, Any] = {"type": "integer", "minimum": -CREDITS_MAX, "maximum": CREDITS_MAX}
_SEQ: dict[str, Any] = {"type": "integer", "minimum": 0}
_ANY: dict[str, Any] = {}
_FLAG: dict[str, Any] = {"type": "boolean"}
_MAYBE_INTEGER: dict[str, Any] = {"type": ["integer", "null"]}
_MAYBE_OBJECT: dict[str, Any] = {"type": ["object", "null"]}


def _object(optional: tuple[str, ...] = (), /, **fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": fields,
        "required": [name for name in fields if name not in optional],
    }


def _page_of(name: str) -> dict[str, Any]:
    return _object(items={"type": "array", "items": {"$ref": _REF + name}}, nextCursor=_MAYBE_TEXT)


_ENTRY = {
    "id": _TEXT, "userId": _TEXT, "seq": _SEQ, "type": _TEXT, "operationType": _MAYBE_TEXT, "credits": _SIGNED,
    "balanceAfter": _COUNT, "heldAfter": _COUNT, "relatedEntryId": _MAYBE_TEXT, "source": _MAYBE_TEXT, "idempotencyKey": _TEXT,
    "keyId": _TEXT, "price": _MAYBE_TEXT, "details": _MAYBE_OBJECT, "timestamp": _TIME, "hash": _TEXT,
}  # fmt: skip

ANSWERS: dict[str, dict[str, Any]] = {
    "Any": {"type": "object"},
    "Text": _TEXT,
    "Page": _TEXT,
    "Problem": _object(
        type=_TEXT, title=_TEXT, status={"type": "integer"}, detail=_TEXT, code={"type": "string", "pattern": "^[a-z_0-9]+$"}
    ),
    "Receipt": _object(
        entryId=_TEXT, userId=_TEXT, type=_TEXT, operationType=_MAYBE_TEXT, credits=_COUNT, creditsRemaining=_COUNT,
        creditsHeld=_COUNT, seq=_SEQ, timestamp=_TIME,
    ),
    "Result": _object(
        ("receipt", "error", "replayed"), status={"type": "integer"}, receipt={"$ref": _REF + "Receipt"},
        error={"$ref": _REF + "Problem"}, replayed={"type": "boolean"},
    ),
    "Results": _object(results={"type": "array", "items": {"$ref": _REF + "Result"}}),
    "Balance": _object(
        userId=_TEXT, creditsRemaining=_SIGNED, creditsHeld=_COUNT, creditsAvailable=_SIGNED, seq=_SEQ,
        updatedAt=_MAYBE_TIME, lastSyncedAt=_MAYBE_TIME,
    ),
    "Usage": _object(
        id=_TEXT, userId=_TEXT, creditBalanceId=_TEXT, operationType=_TEXT, creditsUsed=_SIGNED, details=_ANY, timestamp=_TIME
    ),
    "UsagePage": _page_of("Usage"),
    "Entry": _object(**_ENTRY),
    "StatementPage": _page_of("Entry"),
    "EntryInFull": _object(
        **_ENTRY, fingerprint=_TEXT, previousHash=_TEXT,
        refunds={"type": "array", "items": _object(entryId=_TEXT, credits=_COUNT, timestamp=_TIME)},
    ),
    "Proof": _object(
        format=_TEXT, entry={"type": "object"}, previousHash=_TEXT, after=_TEXTS, account={"type": "object"}, index=_SEQ,
        path=_TEXTS, checkpoint={"type": "object"},
    ),
    "CreditBalance": _object(
        id=_TEXT, userId=_TEXT, clerkUserId=_TEXT, creditsRemaining=_SIGNED, lastSyncedAt=_TIME, createdAt=_TIME, updatedAt=_TIME
    ),
    "User": _object(
        id=_TEXT, clerkId=_TEXT, email=_MAYBE_TEXT, name=_MAYBE_TEXT, isActive={"type": "boolean"}, createdAt=_TIME,
        updatedAt=_TIME, creditBalance={"anyOf": [{"$ref": _REF + "CreditBalance"}, {"type": "null"}]},
        usageHistory={"type": "array", "items": {"$ref": _REF + "Usage"}},
    ),
    "UserPage": _page_of("User"),
    "Report": _object(report={"enum": [*REPORTS]}, timestamp=_TIME, items={"type": "array", "items": {"type": "object"}}),
    "WebhookTaken": _object(
        state={"enum": ["applied", "pending", "stale", "ignored", "rejected"]}, repeated={"type": "boolean"}
    ),
    "Plan": _object(
        id=_TEXT, asaasId=_MAYBE_TEXT, clerkId=_MAYBE_TEXT, clerkName=_MAYBE_TEXT, name=_TEXT, credits=_SIGNED,
        active=_FLAG, sortOrder={"type": "integer"}, currency=_MAYBE_TEXT, priceMonthlyCents=_MAYBE_INTEGER,
        priceYearlyCents=_MAYBE_INTEGER, description=_MAYBE_TEXT, features=_ANY, badge=_MAYBE_TEXT, highlight=_FLAG,
        ctaType=_MAYBE_TEXT, ctaLabel=_MAYBE_TEXT, ctaUrl=_MAYBE_TEXT, billingSource=_TEXT, createdAt=_TIME, updatedAt=_TIME,
    ),
    "PlanPage": _page_of("Plan"),
    "Feature": _object(
        id=_TEXT, workspaceId=_TEXT, name=_TEXT, description=_MAYBE_TEXT, tags={"type": ["array", "null"], "items": _TEXT},
        createdAt=_TIME, updatedAt=_TIME,
    ),
    "FeaturePage": _page_of("Feature"),
    "AdminSettings": _object(id=_TEXT, featureCosts=_ANY, createdAt=_TIME, updatedAt=_TIME),
    "StorageObject": _object(
        id=_TEXT, userId=_TEXT, clerkUserId=_TEXT, provider=_TEXT, url=_TEXT, pathname=_TEXT, name=_TEXT,
        contentType=_MAYBE_TEXT, size={"type": "integer"}, deletedAt=_MAYBE_TIME, createdAt=_TIME, updatedAt=_TIME,
    ),
    "StoragePage": _page_of("StorageObject"),
    "StorageTotals": _object(
        userId=_TEXT, objects=_SEQ, bytes=_SEQ, deletedObjects=_SEQ, deletedBytes=_SEQ
    ),
    "SubscriptionEvent": _object(
        id=_TEXT, userId=_MAYBE_TEXT, clerkUserId=_TEXT, planKey=_MAYBE_TEXT, status=_TEXT, eventType=_TEXT, occurredAt=_TIME,
        metadata=_ANY, createdAt=_TIME,
    ),
    "SubscriptionEventPage": _page_of("SubscriptionEvent"),
    "Health": _object(("timestamp",), status=_TEXT, timestamp=_TIME),
    "Readiness": _object(("missing",), status=_TEXT, missing={"type": "array", "items": _TEXT}),
}  # fmt: skip

_QUERY: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 20},
    "cursor": _TEXT,
    "at": _TIME,
    "format": {"enum": [*TYPES], "default": "json"},
    "since": _DAY,
    "until": _DAY,
    "operation": _TEXT,
    "from": _TIME,
    "to": _TIME,
    "order": {"enum": ["asc", "desc"]},
    "operationType": _TEXT,
    "isActive": {"type": "boolean"},
    "active": {"enum": ["true", "false", "any"], "default": "true"},
    "workspaceId": _TEXT,
    "user": {"type": "string", "minLength": 1, "maxLength": 255},
    "deletedForDays": {"type": "integer", "minimum": 0, "maximum": 99999, "default": 30},
    "clerkUserId": _TEXT,
    "email": _TEXT,
}

_SECURITY = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "customer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A customer's session token.",
    },
}
_MEDIA = {"Text": "text/plain", "Page": "text/*"}


def describe() -> dict[str, Any]:
    """The whole document."""
    models = [route.body for route in ROUTES if route.body is not None] + [
        BatchDeduct,
        BatchRefund,
        BatchGrant,
    ]
    _, definitions = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models)], ref_template=_REF + "{model}"
    )
    schemas = definitions["$defs"] | ANSWERS
    schemas["BatchBody"]["properties"]["operations"]["items"] = {
        "oneOf": [{"$ref": _REF + name} for name in ("BatchDeduct", "BatchRefund", "BatchGrant")]
    }
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pedro_ledger",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _SECURITY},
    }


def _operation(route: Route) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT} for name in re.findall(r"{(\w+)}", route.path)
    ]
    parameters += [{"name": name, "in": "query", "schema": _QUERY[name]} for name in route.query]
    if route.moves_credits:
        key = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}
        parameters.append({"name": "Idempotency-Key", "in": "header", "required": True, "schema": key})
    operation: dict[str, Any] = {
        "operationId": f"{route.handler.__module__.rsplit('.', 1)[-1]}_{route.handler.__name__}",
        "summary": route.summary,
        "parameters": parameters,
        "responses": _responses(route),
        "security": _security(route),
    }
    if route.scope is not PUBLIC:
        customers = (
            " Customers may read their own with their session token; `me` names them." if route.customers else ""
        )
        operation["description"] = f"Needs a key with the scope `{route.scope}`.{customers}"
    if route.body is not None:
        schema = {"$ref": _REF + route.body.__name__}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _security(route: Route) -> list[dict[str, list[str]]]:
    if route.scope is PUBLIC:
        return []
    return [{"key": []}, {"customer": []}] if route.customers else [{"key": []}]


def _responses(route: Route) -> dict[str, Any]:
    media = _MEDIA.get(route.schema, "application/json")
    answer = {"content": {media: {"schema": {"$ref": _REF + route.schema}}}}
    responses = {str(status): {"description": "The answer.", **answer} for status in route.answers}
    by_key = set() if route.scope is PUBLIC else {400, 401, 403, 429, 503}
    refusals = {*by_key, *route.refusals} | ({408, 413, 415, 422} if route.body is not None else set())
    problem = {"application/problem+json": {"schema": {"$ref": _REF + "Problem"}}}
    return responses | {
        str(status): {"description": "Refused; `code` says why.", "content": problem} for status in sorted(refusals)
    }
