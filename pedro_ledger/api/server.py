"""The HTTP server: it routes, authenticates, counts and answers every request, in one place.

It stands on aiohttp's low-level server. Applications, routers and middlewares of aiohttp would each
add a call to every request, and the route table says already what they would need.
"""

import asyncio
import re
from collections.abc import Collection, Iterable
from itertools import count
from random import random
from secrets import token_hex
from typing import Any, cast

import structlog
from aiohttp import web

from pedro_ledger.api.access.authenticator import Authenticator
from pedro_ledger.api.http.caller import Caller
from pedro_ledger.api.http.cors import CrossOrigin
from pedro_ledger.api.http.problems import Problem, internal_error, problem_of, problem_of_aiohttp, raw_answer, render
from pedro_ledger.api.http.rate_limits import RateLimits
from pedro_ledger.api.http.request import BodyLimits, Request
from pedro_ledger.api.http.responses import SERVER
from pedro_ledger.api.router import Router
from pedro_ledger.api.routes import PUBLIC, Route
from pedro_ledger.ledger.errors import LedgerError, Overloaded
from pedro_ledger.telemetry.logs import request_id as current_request_id
from pedro_ledger.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_NOBODY = Caller("nobody", frozenset())
KEEP_ALIVE_S = 75.0
_TOO_MANY_CONNECTIONS = raw_answer(
    Problem(503, "overloaded", "Too much is waiting", "Too many connections are open. Keep some alive and reuse them.")
)
OVERLOAD_DELAY_S = 0.5
"""How long the answer to a shed operation is delayed, give or take half.

Clients that retry at once, as a flood does, then cost the others little. `Retry-After` asks them to
wait for longer than that.
"""
LINGER_S = 1.0
"""How long the rest of a refused body is read, so that its sender can read the answer."""


def make_server(
    handler: "RequestHandler",
    *,
    body_bytes_max: int,
    body_limits: BodyLimits,
    connections_max: int,
    cors_origins: Collection[str] = (),
) -> web.Server:
    """The server, to be run by aiohttp's `ServerRunner`. Pages of `cors_origins` may read its
    answers.
    """

    def request_of(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> Request:
        request = Request(message, payload, protocol, writer, task, handler.loop, client_max_size=body_bytes_max)
        request.body_limits = body_limits
        return request

    return _Server(
        CrossOrigin(handler.answer, cors_origins).answer if cors_origins else handler.answer,
        connections_max=connections_max,
        request_factory=request_of,
        access_log=None,
        keepalive_timeout=KEEP_ALIVE_S,
        lingering_time=LINGER_S,
    )


class RequestHandler:
    """Takes each request from its connection to its endpoint, and renders what comes back."""

    def __init__(
        self,
        routes: Iterable[Route[Any]],
        authenticator: Authenticator,
        limits: RateLimits | None,
        metrics: Metrics,
        *,
        access_log: bool,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._router = Router(routes)
        self._authenticator = authenticator
        self._limits = limits
        self._metrics = metrics
        self._access_log = access_log
        self._prefix, self._numbers = token_hex(6), count(1)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer, in the contract's shape and with a request id, whatever happens inside."""
        assert isinstance(request, Request), "the server makes our requests"
        sent = request.headers.get("X-Request-Id")
        is_sane = sent is not None and _SANE_REQUEST_ID.fullmatch(sent) is not None
        request_id = sent if sent is not None and is_sane else f"{self._prefix}-{next(self._numbers)}"
        current_request_id.set(request_id)
        method, template = "other", "unmatched"
        rate_headers: dict[str, str] | None = None
        response: web.StreamResponse
        is_shed = False
        try:
            route, request.path_values = self._router.find(request.method, request.raw_path)
            method, template = route.method, route.path
            if route.scope is PUBLIC:
                request.caller = _NOBODY
            else:
                caller = await self._authenticator.authenticate(request, route, route.scope)
                request.caller = caller
                if self._limits is not None:
                    user = request.path_values.get("user")
                    rate_headers = await self._limits.take_call(caller.key_id, user, self.loop.time())
            response = await route.handler(request)
        except Problem as problem:
            response = render(problem)
        except LedgerError as error:
            response = render(problem_of(error))
            is_shed = isinstance(error, Overloaded)
        except web.HTTPException as error:
            response = render(problem_of_aiohttp(error))
        except Exception:
            log.exception("internal_error", method=method, route=template)
            response = render(internal_error())
        if is_shed:  # and not before the error is gone, whose frames keep the body alive
            await asyncio.sleep(OVERLOAD_DELAY_S * (0.5 + random()))  # noqa: S311 - spreads them
        response.headers["X-Request-Id"] = request_id
        response.headers["Server"] = SERVER
        if rate_headers:
            response.headers.update(rate_headers)
        self._metrics.request(method, template, response.status)
        if self._access_log:
            log.info("request", method=method, route=template, status=response.status)
        return response


class _Server(web.Server):
    def __init__(self, handler: Any, *, connections_max: int, **options: Any) -> None:
        super().__init__(handler, **options)
        self.connections_max = connections_max

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    """A connection that answers malformed requests in the contract's shape too."""

    __slots__ = ("streaming",)

    streaming: "asyncio.Task[object] | None"
    """What writes an answer piece by piece now. It ends when the caller goes: else that would be
    found out with the next piece, which may be long in coming."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse a connection above the limit and close it at once: each costs memory."""
        self.streaming = None
        super().connection_made(transport)
        server = self._manager
        assert isinstance(server, _Server), "our server makes our connections"
        if len(server._connections) > server.connections_max:
            stream = cast(asyncio.Transport, transport)  # uvloop's are of no class of asyncio's
            stream.write(_TOO_MANY_CONNECTIONS)
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The caller is gone."""
        streaming = self.streaming
        super().connection_lost(exc)
        if streaming is not None:
            streaming.cancel()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no HTTP request; the connection ends with it."""
        if status >= 500 or request.writer.output_size > 0:
            response = super().handle_error(request, status, exc, message)
            response.headers["Server"] = SERVER
            return response
        problem = Problem(status, "malformed_request", "Malformed request", "This is no HTTP request that can be read.")
        response = render(problem)
        response.headers["Server"] = SERVER
        response.force_close()
        return response
