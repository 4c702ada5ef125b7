"""The `type` of a problem leads to a page of the daemon that explains its code."""

import re
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin

from pedro_ledger.api.endpoints.pages import reference
from pedro_ledger.api.http.markdown import to_html
from tests.docs import catalogue
from tests.support.client import Api


class Parser(HTMLParser):
    """Ids and text of a page; asserts that every element that opens also closes."""

    VOID = frozenset({"meta", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.text = ""
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value is not None]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "pre" not in self._open and "code" not in self._open:
            self.text += data


def parsed(html: str) -> Parser:
    parser = Parser()
    parser.feed(html)
    parser.close()
    assert parser._open == []
    return parser


async def test_the_type_of_a_problem_leads_to_its_explanation(api: Api) -> None:
    user = await api.user()
    refused = await api.deduct(user, 5000)
    address, anchor = urldefrag(urljoin(f"{api.address}/v1/users/{user}/deduct", refused.json["type"]))
    assert anchor == refused.code == "insufficient_credits"
    page = await api.get(address.removeprefix(api.address), auth=None)
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    shown = parsed(page.body.decode())
    assert set(catalogue.error_codes()) <= set(shown.ids)
    assert "Afterwards use a new idempotency key" in " ".join(shown.text.split())


def test_no_mark_of_markdown_is_left_on_the_page() -> None:
    text = parsed(to_html(reference("errors.md"))).text
    assert re.findall(r"\*\*|`|\]\(|^\s*[-*#|>] |^\d+\. |<!--", text, re.MULTILINE) == []
