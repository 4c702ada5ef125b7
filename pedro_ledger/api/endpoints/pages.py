"""Pages for people: one that shows `/openapi.json`, one that explains every error code.

All of it comes from this daemon, and its policy lets nothing else in.
"""

from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path

from pedro_ledger.api.http.markdown import to_html
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


_FOLDER = Path(str(files("pedro_ledger.api"))) / "pages" / "docs"
_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pedro_ledger: {title}</title>
<link rel="stylesheet" href="/docs/page.css">
</head>
<body>
{body}
</body>
</html>
"""


def reference(name: str) -> str:
    """A page of `docs/reference`.

    In a wheel it lies beside this package's pages, else in the checkout.
    """
    for folder in (_FOLDER, Path(str(files("pedro_ledger"))).parent / "docs" / "reference"):
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8")
    raise FileNotFoundError(f"docs/reference/{name} is missing: install the package again")


def _serve(body: bytes, name: str, content_type: str, what: str) -> Callable[[Request], Awaitable[Response[str]]]:
    async def answer(request: Request) -> Response[str]:
        return Response(body=body, headers=_HEADERS, content_type=content_type, charset="utf-8")

    answer.__doc__ = what
    answer.__name__ = name.partition(".")[0] + "_" + name.rpartition(".")[2]
    return answer


def _file(name: str, content_type: str, what: str) -> Callable[[Request], Awaitable[Response[str]]]:
    return _serve((_FOLDER / name).read_bytes(), name, content_type, what)


page = _file("index.html", "text/html", "This API, for people.")
style = _file("page.css", "text/css", "The looks of the page at `/docs`.")
script = _file("page.js", "text/javascript", "The script of the page at `/docs`.")
errors = _serve(
    _FRAME.format(title="errors", body=to_html(reference("errors.md"))).encode(),
    "errors.html",
    "text/html",
    "Every error code: what it means, what to do. The `type` of a problem leads here.",
)
