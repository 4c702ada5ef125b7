"""Answers that are written while they are made, and are cut where making them fails."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Generic, TypeVar

import structlog
from aiohttp import web

from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import SERVER
from pedro_ledger.telemetry.logs import request_id

log = structlog.get_logger(__name__)
A = TypeVar("A")
TAKEN_WITHIN_S = 60.0
"""A receiver who takes nothing of a piece for so long is cut: what is made for it holds a place, a
connection and a snapshot that others need.
"""


class StreamedResponse(web.StreamResponse, Generic[A]):
    """A response whose body is an `A`, sent piece by piece."""


async def streamed(
    request: Request,
    content_type: str,
    headers: Mapping[str, str],
    make: Callable[[Callable[[bytes], Coroutine[Any, Any, None]]], Awaitable[object]],
) -> StreamedResponse[A]:
    """Answer with what `make` writes.

    The head goes out with the first piece: until then what `make` raises is answered as anywhere.
    From then on it can only be told by cutting the connection, so that nobody takes a part for the
    whole; it is logged. A caller who goes away ends it at once, as a cancellation; one who stops
    reading is cut after `TAKEN_WITHIN_S`.
    """
    response: StreamedResponse[A] = StreamedResponse(
        headers={
            **request.cors_headers,
            **headers,
            "Content-Type": content_type,
            "Server": SERVER,
            "X-Request-Id": request_id.get() or "",
        }
    )

    async def write(piece: bytes) -> None:
        if not response.prepared:
            await response.prepare(request)
        async with asyncio.timeout(TAKEN_WITHIN_S):
            await response.write(piece)

    connection: Any = request.protocol
    connection.streaming = asyncio.current_task()
    try:
        await make(write)
    except Exception as error:
        if not response.prepared:
            raise
        if not isinstance(error, ConnectionError):
            log.warning("response_cut", path=request.path, reason=f"{type(error).__name__}: {error}")
        if request.transport is not None:
            request.transport.abort()
        return response
    finally:
        connection.streaming = None
    if not response.prepared:
        await response.prepare(request)
    await response.write_eof()
    return response
