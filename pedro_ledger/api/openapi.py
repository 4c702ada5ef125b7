"""The description of the API (OpenAPI 3.1), made from the route table and the models."""

import re
from collections.abc import Iterator
from functools import cache
from inspect import cleandoc
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from pedro_ledger import __version__
from pedro_ledger.api.http.responses import JSON_TYPE
from pedro_ledger.api.routes import PUBLIC, ROUTES, Route
from pedro_ledger.api.schemas.answers import Problem
from pedro_ledger.api.schemas.queries import Query
from pedro_ledger.api.schemas.requests import BatchDeduct, BatchGrant, BatchRefund
from pedro_ledger.reports.catalogue import REPORTS
from pedro_ledger.reports.exports import EXPORTS

_REF = "#/components/schemas/{model}"
_TEXT: dict[str, Any] = {"type": "string"}
_PATH: dict[str, dict[str, Any]] = {
    "user": {**_TEXT, "description": "`User.id`, or `clerk:` and the Clerk id."},
    "entry": {**_TEXT, "description": "The id of an entry, as its receipt tells it."},
    "hold": {**_TEXT, "description": "The id of a hold: the `entryId` of the receipt it was made with."},
    "schedule": {
        **_TEXT,
        "description": "The id of a recurring grant: 1 to 64 letters, digits, dots, dashes and underscores.",
    },
    "plan": {**_TEXT, "description": "`Plan.id`."},
    "feature": {**_TEXT, "description": "`Feature.id`."},
    "object": {**_TEXT, "description": "`StorageObject.id`."},
    "limit": {**_TEXT, "pattern": "^[A-Za-z0-9_.-]{1,64}$", "description": "The id of a limit, of your choosing."},
    "report": {**_TEXT, "enum": [*REPORTS]},
    "export": {**_TEXT, "enum": [*EXPORTS]},
}
_IDEMPOTENCY_KEY = {
    **_TEXT,
    "minLength": 1,
    "maxLength": 255,
    "pattern": "^[ -~]+$",
    "description": "Send the same one when you retry: the operation is applied once, and answered alike.",
}
_PAGES = {"Entry": "Statement", "StorageObject": "Storage"}
"""Pages that keep the names under which generated clients know them."""


class _AnswerSchema(GenerateJsonSchema):
    """JSON Schema of answers: no titles, and `["string", "null"]` for what may be null."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Names say what titles would repeat."""
        return False

    def typed_dict_schema(self, schema: core_schema.TypedDictSchema) -> JsonSchemaValue:
        """An object; its name in the components is its title."""
        made = super().typed_dict_schema(schema)
        made.pop("title", None)
        return made

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """What may be null: two types where one word says the first."""
        inner = self.generate_inner(schema["schema"])
        if isinstance(kind := inner.get("type"), str) and "enum" not in inner:
            return {**inner, "type": [kind, "null"]}
        return super().nullable_schema(schema)

    def normalize_name(self, name: str) -> str:
        """A page is named for what is on it."""
        page = re.fullmatch(r"Page\[(\w+)\]", name)
        return super().normalize_name(f"{_PAGES.get(page[1], page[1])}Page" if page else name)


class _QuerySchema(GenerateJsonSchema):
    """JSON Schema of query parameters, whose absence is not null."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Names say what titles would repeat."""
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """What a parameter is when it is there."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """With the default, where there is one."""
        return self.generate_inner(schema["schema"]) if schema["default"] is None else super().default_schema(schema)


_SECURITY = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "customer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A customer's session token.",
    },
}


@cache
def describe() -> dict[str, Any]:
    """The whole document; made once, for it is most of what a start costs."""
    bodies = [route.body for route in ROUTES if route.body is not None] + [BatchDeduct, BatchRefund, BatchGrant]
    _, of_bodies = models_json_schema([(model, "validation") for model in dict.fromkeys(bodies)], ref_template=_REF)
    kinds: list[Any] = list(dict.fromkeys([Problem, *(route.answer for route in ROUTES)]))
    all_kinds: Any = tuple.__class_getitem__(tuple(kinds))
    of_answers = TypeAdapter(all_kinds).json_schema(
        mode="serialization", schema_generator=_AnswerSchema, ref_template=_REF
    )
    answers = dict(zip(kinds, of_answers["prefixItems"], strict=True))
    schemas = of_bodies["$defs"] | of_answers["$defs"]
    schemas["BatchBody"]["properties"]["operations"]["items"] = {
        "oneOf": [{"$ref": _REF.format(model=model.__name__)} for model in (BatchDeduct, BatchRefund, BatchGrant)]
    }
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, answers[route.answer])
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


def _operation(route: Route[Any], answer: JsonSchemaValue) -> dict[str, Any]:
    in_path = re.findall(r"{(\w+)}", route.path)
    parameters = [_parameter(name, "path", _PATH[name]) | {"required": True} for name in in_path]
    parameters += _query_parameters(route.query)
    if route.moves_credits:
        parameters.append(_parameter("Idempotency-Key", "header", _IDEMPOTENCY_KEY) | {"required": True})
    operation: dict[str, Any] = {
        "operationId": f"{route.handler.__module__.rsplit('.', 1)[-1]}_{route.handler.__name__}",
        "summary": route.summary,
        "parameters": parameters,
        "responses": _responses(route, answer),
        "security": _security(route),
    }
    if description := _description(route):
        operation["description"] = description
    if route.body is not None:
        schema = {"$ref": _REF.format(model=route.body.__name__)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _description(route: Route[Any]) -> str:
    """What the handler's docstring says after its first line, and who may call."""
    _, _, more = cleandoc(route.handler.__doc__ or "").partition("\n\n")
    said = [more.replace("\n", " ")] if more else []
    if route.scope is not PUBLIC:
        said.append(f"Needs a key with the scope `{route.scope}`.")
    if route.customers:
        said.append("Customers may read their own with their session token; `me` names them.")
    return " ".join(said)


def _query_parameters(model: type[Query]) -> Iterator[dict[str, Any]]:
    fields = model.model_json_schema(schema_generator=_QuerySchema).get("properties", {})
    for name in model.names():
        yield _parameter(name, "query", fields[name])


def _parameter(name: str, place: str, schema: dict[str, Any]) -> dict[str, Any]:
    described = {"description": schema["description"]} if "description" in schema else {}
    schema = {word: value for word, value in schema.items() if word != "description"}
    return {"name": name, "in": place, **described, "schema": schema}


def _security(route: Route[Any]) -> list[dict[str, list[str]]]:
    if route.scope is PUBLIC:
        return []
    return [{"key": []}, {"customer": []}] if route.customers else [{"key": []}]


def _responses(route: Route[Any], answer: JsonSchemaValue) -> dict[str, Any]:
    content = {media: {"schema": answer if media == JSON_TYPE else _TEXT} for media in route.media}
    success = {"description": "The answer.", "content": content}
    by_key = set() if route.scope is PUBLIC else {400, 401, 403, 429, 503}
    refusals = {*by_key, *route.refusals} | ({408, 413, 415, 422} if route.body is not None else set())
    problem = {"application/problem+json": {"schema": {"$ref": _REF.format(model=Problem.__name__)}}}
    return {str(status): success for status in route.statuses} | {
        str(status): {"description": "Refused; `code` says why.", "content": problem} for status in sorted(refusals)
    }
