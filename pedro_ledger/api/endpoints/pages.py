"""The page that shows `/openapi.json` to people. All of it comes from this daemon, and its policy lets nothing else in."""

from collections.abc import Awaitable, Callable
from importlib.resources import files

from aiohttp import web

from pedro_ledger.api.context import Context
from pedro_ledger.api.http.request import Request

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def _file(name: str, content_type: str, what: str) -> Callable[[Request, Context], Awaitable[web.Response]]:
    body = (files("pedro_ledger.api") / "pages" / "docs" / name).read_bytes()

    async def answer(request: Request, context: Context) -> web.Response:
        return web.Response(body=body, headers=_HEADERS, content_type=content_type, charset="utf-8")

    answer.__doc__ = what
    answer.__name__ = name.partition(".")[0] + "_" + name.rpartition(".")[2]
    return answer


page = _file("index.html", "text/html", "This API, for people.")
style = _file("page.css", "text/css", "The looks of the page at `/docs`.")
script = _file("page.js", "text/javascript", "The script of the page at `/docs`.")
