"""A request as handlers see it: aiohttp's own, with the caller and the values of the path."""

from collections.abc import Mapping

from aiohttp import web

from pedro_ledger.api.http.caller import Caller

_NOTHING: Mapping[str, str] = {}


class Request(web.BaseRequest):
    """One HTTP request."""

    ATTRS = web.BaseRequest.ATTRS | frozenset({"body_timeout_s", "caller", "path_values"})

    caller: Caller
    """Whose key it came with."""
    body_timeout_s: float
    """Within which the whole body must arrive; `client_max_size` bounds its bytes."""
    path_values: Mapping[str, str] = _NOTHING
    """What the path has in place of each `{name}` of its template, decoded."""
