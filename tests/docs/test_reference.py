"""Every setting, metric, command, error code and log event of the code is in the documentation, and
nothing else is.
"""

import re

import pytest
import yaml

from tests.docs import catalogue, tables
from tests.support.places import ROOT
from tests.system.faults import rig
from tests.system.faults import scenarios as scenarios  # noqa: PLC0414 - fills SCENARIOS

DOCS = ROOT / "docs"
RENEW = "run `python -m tests.docs.tables`"


def page(name: str) -> str:
    return (DOCS / name).read_text()


@pytest.mark.parametrize("name", [str(page.relative_to(DOCS)) for page in tables.pages()])
def test_the_tables_are_what_the_code_says(name: str) -> None:
    assert page(name) == tables.renewed(page(name)), RENEW


def test_every_setting_is_documented_with_its_default() -> None:
    text = page("operations/settings.md")
    for each in catalogue.settings():
        assert f"| `{each.name}` |" in text, RENEW
        assert f"| {each.description} |" in text, RENEW


def test_every_metric_is_documented() -> None:
    rows = set(re.findall(r"^\| `(pedro_ledger_\w+)` \|", page("operations/metrics-and-alerts.md"), re.MULTILINE))
    assert rows == {each.name for each in catalogue.metrics()}, RENEW


def test_every_alert_is_documented() -> None:
    rules = yaml.safe_load((ROOT / "config/prometheus/alerts.yml").read_text())
    alerts = {(rule["alert"], rule["labels"]["severity"]) for group in rules["groups"] for rule in group["rules"]}
    rows = re.findall(r"^\| `(Ledger\w+)` \| (\w+) \|", page("operations/metrics-and-alerts.md"), re.MULTILINE)
    assert set(rows) == alerts


def test_every_background_loop_is_documented() -> None:
    section = page("operations/metrics-and-alerts.md").partition("## Background loops")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == sorted(catalogue.loops())


def test_every_trial_is_documented() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| ", page("guarantees.md"), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(rig.SCENARIOS)


def test_every_command_is_documented_with_its_options() -> None:
    text = page("operations/commands.md")
    sections = dict(re.findall(r"^##+ (.+?)\n(.*?)(?=^##+ |\Z)", text, re.MULTILINE | re.DOTALL))
    for name, command in catalogue.commands().items():
        assert f"<!-- table: command {name} -->" in sections.get(name, ""), f"docs/operations/commands.md: {name}"
        for each in catalogue.parameters(command):
            assert f"`{each.usage}`".replace("|", "\\|") in sections[name], RENEW
            assert each.description, f"{name} {each.usage} has no help"


def test_every_log_event_is_documented() -> None:
    text = page("reference/log-events.md")
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", text, re.MULTILINE))
    assert rows.keys() == catalogue.log_events().keys(), RENEW
    assert [name for name, meaning in rows.items() if meaning == tables.UNWRITTEN] == []


def test_every_error_code_is_documented_with_its_status() -> None:
    text = page("reference/errors.md")
    sections = dict(re.findall(r"^## (\w+)\n\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    codes = catalogue.error_codes()
    assert sections.keys() == codes.keys()
    assert list(sections) == sorted(sections), "codes are in alphabetical order"
    for name, code in codes.items():
        said = re.match(r"\*\*([\d, ]+)\*\* · (.+)\n\n", sections[name])
        assert said is not None, f"{name}: begins with its status and its title"
        if code.statuses:
            assert {int(status) for status in said[1].split(", ")} == code.statuses, name
        if code.titles:
            assert said[2] in code.titles, name
        assert re.search(r"^What to do: ", sections[name], re.MULTILINE), f"{name}: says what to do"
