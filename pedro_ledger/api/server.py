"""The aiohttp application: the route table, wrapped once in authentication, request ids, counting and error rendering."""

import re
from itertools import count
from secrets import token_hex

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from pedro_ledger.api.auth import Caller
from pedro_ledger.api.context import Context
from pedro_ledger.api.problems import Problem, internal_error, problem_of, problem_of_aiohttp, render
from pedro_ledger.api.routes import ROUTES, Route
from pedro_ledger.ledger.errors import LedgerError
from pedro_ledger.logs import request_id as current_request_id

log = structlog.get_logger(__name__)

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_NOBODY = Caller("nobody", frozenset())


def make_app(context: Context, *, access_log: bool = False, body_bytes_max: int = 1024**2) -> web.Application:
    """The application with every route of the table."""
    app = web.Application(middlewares=[boundary(context, access_log=access_log)], client_max_size=body_bytes_max)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _bind(route, context))
    return app


def _bind(route: Route, context: Context) -> Handler:
    handler, scope, keys = route.handler, route.scope, context.keys

    async def call(request: web.Request) -> web.StreamResponse:
        if scope is None:
            return await handler(request, context, _NOBODY)
        caller = keys.authenticate(request)
        caller.require(scope)
        return await handler(request, context, caller)

    return call


def boundary(context: Context, *, access_log: bool) -> Middleware:
    """The one middleware: whatever happens inside, the caller gets an answer in the contract's shape, with a request id."""
    prefix, numbers = token_hex(6), count(1)
    count_request = context.metrics.request

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        sent = request.headers.get("X-Request-Id")
        request_id = sent if sent is not None and _SANE_REQUEST_ID.fullmatch(sent) else f"{prefix}-{next(numbers)}"
        current_request_id.set(request_id)
        try:
            response = await handler(request)
        except Problem as problem:
            response = render(problem)
        except LedgerError as error:
            response = render(problem_of(error))
        except web.HTTPException as error:
            response = render(problem_of_aiohttp(error))
        except Exception:
            log.exception("internal_error", method=request.method, route=_template(request))
            response = render(internal_error())
        response.headers["X-Request-Id"] = request_id
        template = _template(request)
        count_request(request.method if template != "unmatched" else "other", template, response.status)
        if access_log:
            log.info("request", method=request.method, route=template, status=response.status)
        return response

    return middleware


def _template(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"
