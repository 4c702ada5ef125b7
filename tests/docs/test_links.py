"""What the documentation points at is there: pages, anchors, files, modules, settings, commands;
and its form is kept.
"""

import re
import tomllib

import yaml

from pedro_ledger.cli.main import COMMANDS
from pedro_ledger.settings import RENAMED, environment_name
from tests.docs import catalogue
from tests.docs.markdown import PAGES, slug
from tests.support.places import ROOT

PROSE_COLUMNS = 100
OUTSIDE = frozenset({"PEDRO_URL", "PEDRO_TEST_PG_BIN", "PEDRO_LEDGER_SERVICE_HOST"})
"""Variables of the app, of the tests and of Kubernetes, which are no settings."""


def mentioned(pattern: str, *, without: tuple[str, ...] = ()) -> dict[str, str]:
    """What matches anywhere in the documentation, with the page where it stands."""
    return {
        found: name for name, page in PAGES.items() if name not in without for found in re.findall(pattern, page.text)
    }


def test_each_link_leads_to_a_page_and_to_a_heading_of_it() -> None:
    broken = []
    for page in PAGES.values():
        for link in page.links:
            if link.startswith("https://"):
                continue
            target, _, anchor = link.partition("#")
            path = (page.path.parent / target).resolve() if target else page.path
            if not path.is_file():
                broken.append(f"{page.name}: {link} leads nowhere")
            elif anchor and anchor not in PAGES[str(path.relative_to(ROOT))].anchors:
                broken.append(f"{page.name}: {link} has no such heading")
    assert broken == []


def test_headings_have_one_anchor_wherever_they_are_rendered() -> None:
    """GitHub numbers an anchor that is there twice, and MkDocs joins hyphens; so neither may
    happen.
    """
    for page in PAGES.values():
        if page.name != "CHANGELOG.md":
            assert len(set(page.anchors)) == len(page.anchors), page.name
            assert all("--" not in anchor for anchor in page.anchors), page.name


def test_every_page_is_reached_from_the_table_of_contents() -> None:
    reached, todo = set[str](), ["docs/README.md"]
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            targets = [link.partition("#")[0] for link in PAGES[name].links if not link.startswith("https://")]
            todo += [
                str((PAGES[name].path.parent / target).resolve().relative_to(ROOT)) for target in targets if target
            ]
    assert {name for name in PAGES if name.startswith("docs/")} - reached == set()


def test_each_file_that_is_named_is_there() -> None:
    named = mentioned(r"`((?:tests|config|pedro_ledger|sql|docs|clients)/[\w./-]+?)/?`", without=("CHANGELOG.md",))
    assert len(named) > 40
    assert {name: page for name, page in named.items() if "NNNN" not in name and not (ROOT / name).exists()} == {}
    for module, page in mentioned(r"python -m (tests[\w.]+)").items():
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), f"{page}: {module}"
    for target, page in mentioned(r"`make (\w+)").items():
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"{page}: make {target}"


def test_each_name_of_the_code_that_is_told_is_one() -> None:
    settings = {each.name for each in catalogue.settings()} | {environment_name(name) for name in RENAMED} | OUTSIDE
    assert mentioned(r"\bPEDRO_[A-Z0-9_]+\b(?!…)", without=("CHANGELOG.md",)).keys() <= settings
    for name, page in mentioned(r"`pedro-ledger ([a-z][a-z-]*)").items():
        assert name in COMMANDS, f"{page}: pedro-ledger {name}"
    metrics = {each.name for each in catalogue.metrics()}
    told = mentioned(r"`(pedro_ledger_[a-z_]+)", without=("CHANGELOG.md", "docs/operations/upgrading.md"))
    assert told.keys() <= metrics


def test_prose_has_a_hundred_columns() -> None:
    wide = [
        f"{page.name}: {line}"
        for page in PAGES.values()
        if page.name not in {"CHANGELOG.md", "README.md"}
        for line in page.prose.splitlines()
        if len(line) > PROSE_COLUMNS and not line.startswith(("|", "<!--")) and " " in line[:PROSE_COLUMNS].strip()
    ]
    assert wide == []


def test_every_import_contract_is_explained() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    section = PAGES["CONTRIBUTING.md"].text.partition("### Import contracts")[2].partition("\n## ")[0]
    assert re.findall(r"^\| ([\w-]+) \| (?!means)", section, re.MULTILINE) == [each["id"] for each in contracts]


def test_the_site_has_every_page() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    site = yaml.safe_load(text)
    listed = set(re.findall(r"[\w/-]+\.md", str(site["nav"])))
    pages = {name.removeprefix("docs/") for name in PAGES if name.startswith("docs/")}
    assert {page for page in pages if not re.match(r"decisions/\d", page)} == listed
    assert site["theme"]["font"] is False, "fonts come from another host"
    assert site["strict"] is True
    assert "https://" not in text


def test_decisions_are_numbered_without_a_gap() -> None:
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    for name in names:
        page = PAGES[f"docs/decisions/{name}"]
        assert [slug(heading) for heading in ("Context", "Decision", "Consequences")] == page.anchors[1:], name
