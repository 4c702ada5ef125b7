"""Cross-origin requests (CORS): which web pages may read the daemon's answers, and how a browser
asks before it sends.

A browser sends a customer's token in a header, never by itself, so no answer allows credentials.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web

from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import SERVER, Response

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
PREFLIGHT_KEPT_S = 7200
"""How long a browser need not ask again; Chromium's own limit."""
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-Id"
EXPOSED_HEADERS = "Idempotency-Replayed, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
"""Of an answer, beside the few that every page may read."""


class CrossOrigin:
    """What `handler` answers, readable for pages of `origins`, which are compared as they stand."""

    def __init__(self, handler: Handler, origins: Iterable[str]) -> None:
        self._handler = handler
        self._origins = frozenset(origins)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer; of a preflight, without asking the handler."""
        origin = request.headers.get("Origin")
        is_allowed = origin in self._origins
        readable = {"Vary": "Origin"}  # also where it is refused: caches must not mix them up
        if is_allowed and origin is not None:
            readable |= {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED_HEADERS}
        if isinstance(request, Request):
            request.cors_headers = readable
        if is_allowed and request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            response: web.StreamResponse = _preflight()
        else:
            response = await self._handler(request)
        response.headers.update(readable)
        return response


def _preflight() -> Response[Any]:
    return Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": REQUEST_HEADERS,
            "Access-Control-Max-Age": str(PREFLIGHT_KEPT_S),
            "Server": SERVER,
        },
    )
