"""The documentation as a reader meets it: pages, their headings, links and blocks of commands."""

import re
from pathlib import Path
from typing import NamedTuple

from tests.support.places import ROOT

_FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>.+?) -->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block; `not_run` is the reason that stands before it, where there is one."""

    language: str
    text: str
    not_run: str | None


class Command(NamedTuple):
    """A command of a `console` block, and the output that is shown below it."""

    text: str
    shown: str


class Page:
    """A page of Markdown in the checkout."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path.relative_to(ROOT))
        self.text = path.read_text()

    @property
    def blocks(self) -> list[Block]:
        return [Block(match["language"], match["text"], match["reason"]) for match in _FENCE.finditer(self.text)]

    @property
    def commands(self) -> list[Command]:
        """What a reader types, in order, without the blocks that are not run."""
        found = []
        for block in self.blocks:
            if block.not_run is None and block.language == "console":
                found += commands_of(block.text)
            elif block.not_run is None and block.language == "sh":
                found.append(Command(block.text, ""))
        return found

    @property
    def prose(self) -> str:
        """The page without its blocks."""
        return _FENCE.sub("", self.text)

    @property
    def anchors(self) -> list[str]:
        return [slug(heading) for _, heading in _HEADING.findall(self.prose)]

    @property
    def links(self) -> list[str]:
        return _LINK.findall(self.prose)


def commands_of(text: str) -> list[Command]:
    """The commands of a `console` block: each begins with `$ `, and goes on in lines that begin
    with `> ` or after a backslash.
    """
    found: list[tuple[list[str], list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append(([line[2:]], []))
            continue
        assert found, f"a console block begins with a command: {line}"
        command, shown = found[-1]
        if not shown and (line.startswith("> ") or command[-1].endswith("\\")):
            command.append(line.removeprefix("> "))
        else:
            shown.append(line)
    return [Command("\n".join(command), "\n".join(shown).strip()) for command, shown in found]


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


def pages() -> list[Page]:
    """Every page: those at the root, and those of `docs`."""
    return [Page(path) for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]]


PAGES = {page.name: page for page in pages()}
