"""A request as handlers see it: aiohttp's own, with the caller and the values of the path."""

from collections.abc import Mapping
from typing import NamedTuple

from aiohttp import web

from pedro_ledger.api.http.caller import Caller
from pedro_ledger.engine.byte_budget import ByteBudget

_NOTHING: Mapping[str, str] = {}


class BodyLimits(NamedTuple):
    """What bounds a body that does not come at once, beside `client_max_size`, its bytes."""

    timeout_s: float
    """Within which the whole of it must arrive."""
    budget: ByteBudget
    """Of all large bodies that arrive at the same time."""


class Request(web.BaseRequest):
    """One HTTP request."""

    ATTRS = web.BaseRequest.ATTRS | frozenset({"body_limits", "caller", "cors_headers", "path_values"})

    caller: Caller
    """Whose key it came with."""
    body_limits: BodyLimits
    cors_headers: Mapping[str, str] = _NOTHING
    """What an answer needs so that the page that asked may read it."""
    path_values: Mapping[str, str] = _NOTHING
    """What the path has in place of each `{name}` of its template, decoded."""
