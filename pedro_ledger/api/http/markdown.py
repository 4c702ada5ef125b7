"""Markdown as HTML, for the reference pages that the daemon serves itself.

Only what those pages use: headings, paragraphs, lists, fenced code; `code`, **bold** and links.
`tests/docs/test_error_page.py` fails where a page uses more.
"""

import re
from collections.abc import Iterator
from html import escape

_BLOCKS = re.compile(r"^```\w*\n(?P<code>.*?)^```$|^(?P<level>#{1,3}) (?P<heading>[^\n]+)$", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r"^- ", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
_BOLD = re.compile(r"\*\*([^*]+)\*\*")


def to_html(markdown: str) -> str:
    """The body of a page.

    Each heading has its words as its `id`, in the form that GitHub and MkDocs give it.
    """
    return "\n".join(_blocks(markdown))


def _blocks(markdown: str) -> Iterator[str]:
    place = 0
    for match in _BLOCKS.finditer(markdown):
        yield from _paragraphs(markdown[place : match.start()])
        place = match.end()
        if match["code"] is not None:
            yield f"<pre>{escape(match['code'], quote=False)}</pre>"
        else:
            tag, text = f"h{len(match['level'])}", match["heading"]
            yield f'<{tag} id="{_anchor(text)}">{_inline(text)}</{tag}>'
    yield from _paragraphs(markdown[place:])


def _paragraphs(text: str) -> Iterator[str]:
    for block in text.strip().split("\n\n"):
        if block.startswith("- "):
            items = "".join(f"<li>{_inline(item.strip())}</li>" for item in _ITEM.split(block)[1:])
            yield f"<ul>{items}</ul>"
        elif block:
            yield f"<p>{_inline(block)}</p>"


def _inline(text: str) -> str:
    """Every second part between backticks is code and holds no other mark."""
    parts = escape(text).split("`")
    return "".join(
        f"<code>{part}</code>" if place % 2 else _BOLD.sub(r"<strong>\1</strong>", _LINK.sub(_link, part))
        for place, part in enumerate(parts)
    )


def _link(match: re.Match[str]) -> str:
    """Other pages of the documentation are not served here; their links become words."""
    text, target = match.groups()
    return f'<a href="{target}">{text}</a>' if target.startswith(("https://", "#", "/")) else text


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
