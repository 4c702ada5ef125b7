"""The part of Markdown that the daemon shows."""

from pedro_ledger.api.http.markdown import to_html


def test_text_is_escaped_and_code_holds_no_marks() -> None:
    assert to_html("a `**b** <i>` & **[c](/d)**") == (
        '<p>a <code>**b** &lt;i&gt;</code> &amp; <strong><a href="/d">c</a></strong></p>'
    )


def test_blocks_are_told_apart() -> None:
    page = '# A page\n\nOne\nline.\n\n- a\n  b\n- c\n\n```json\n{"a": 1}\n```\n\n## no_price\n\nEnd, [there](../x.md).'
    assert to_html(page).splitlines() == [
        '<h1 id="a-page">A page</h1>',
        "<p>One",
        "line.</p>",
        "<ul><li>a",
        "  b</li><li>c</li></ul>",
        '<pre>{"a": 1}',
        "</pre>",
        '<h2 id="no_price">no_price</h2>',
        "<p>End, there.</p>",
    ]
