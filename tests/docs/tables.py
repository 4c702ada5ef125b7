"""Writes the tables of the documentation that can be made from the code: `python -m
tests.docs.tables`.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. The last column of the log events
is written by hand and kept. `tests/docs/test_reference.py` fails when a table is not what this
would write.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from pedro_ledger.reports.catalogue import REPORTS
from tests.docs import catalogue
from tests.support.places import ROOT

DOCS = ROOT / "docs"
UNWRITTEN = "TODO: say what it means and what to do"
_TABLE = re.compile(r"(<!-- table: ([^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)
_ROW = re.compile(r"^\| `(\w+)` \|.*\| (.*) \|$", re.MULTILINE)


def settings(_: str) -> str:
    rows = []
    for each in catalogue.settings():
        default = each.default if each.default.startswith("the ") or not each.default else f"`{each.default}`"
        rows.append([f"`{each.name}`", default, each.accepts, each.description])
    return _table(["setting", "default", "accepts", "what"], rows)


def calls(_: str) -> str:
    rows = []
    for each in catalogue.calls():
        scope = f"`{each.scope}`" if each.scope else "none"
        rows.append([f"`{each.method} {each.path}`", scope + (", customers" if each.customers else ""), each.summary])
    return _table(["call", "scope", "what"], rows)


def reports(_: str) -> str:
    rows = [
        [
            f"`{name}`",
            report.about,
            ", ".join(f"`{each}`" for each in sorted(report.takes)),
            ", ".join(f"`{each}`" for each in report.columns),
        ]
        for name, report in REPORTS.items()
    ]
    return _table(["report", "tells", "takes", "columns"], rows)


def metrics(_: str) -> str:
    rows = [
        [f"`{each.name}`", each.kind, ", ".join(f"`{label}`" for label in each.labels), each.description]
        for each in catalogue.metrics()
    ]
    return _table(["metric", "type", "labels", "what"], rows)


def command_list(_: str) -> str:
    rows = [
        [
            f"[`pedro-ledger {name}`](#{name.replace(' ', '-')})",
            " ".join((command.help or "").partition("\n\n")[0].split()),
        ]
        for name, command in catalogue.commands().items()
    ]
    return _table(["command", "what"], rows)


def command(name: str) -> str:
    found = catalogue.parameters(catalogue.commands()[name])
    rows = [[f"`{each.usage}`", each.description] for each in found]
    return _table(["argument, option", "what"], [[cell.replace("|", "\\|") for cell in row] for row in rows])


def log_events(written: str) -> str:
    meanings = dict(_ROW.findall(written))
    rows = [
        [
            f"`{each.name}`",
            ", ".join(each.levels),
            ", ".join(f"`{field}`" for field in each.fields),
            meanings.get(each.name, UNWRITTEN),
        ]
        for each in catalogue.log_events().values()
    ]
    return _table(["event", "level", "fields", "what it means, what to do"], rows)


TABLES: dict[str, Callable[[str], str]] = {
    "calls": calls,
    "reports": reports,
    "settings": settings,
    "metrics": metrics,
    "commands": command_list,
    "log events": log_events,
}


def renewed(text: str) -> str:
    """A page with its tables as the code has them now."""

    def fresh(match: re.Match[str]) -> str:
        head, name, tail = match.groups()
        make = TABLES.get(name)
        body = command(name.removeprefix("command ")) if make is None else make(match[0])
        return f"{head}\n{body}\n{tail}"

    return _TABLE.sub(fresh, text)


def pages() -> list[Path]:
    return sorted(DOCS.rglob("*.md"))


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    for page in pages():
        before = page.read_text()
        after = renewed(before)
        if after != before:
            page.write_text(after)
            print(f"{page.relative_to(ROOT)}: renewed")


if __name__ == "__main__":
    main()
