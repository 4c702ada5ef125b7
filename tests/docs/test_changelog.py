"""The newest version of the CHANGELOG is the package's; `.dev0` stands for "unreleased"."""

import re

from pedro_ledger import __version__
from tests.support.places import ROOT


def test_the_newest_version_is_the_package_s() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (unreleased|\d{4}-\d\d-\d\d)$", text, re.MULTILINE)
    assert len(versions) == text.count("\n## "), "each version has its number and its day"
    newest, released = versions[0]
    assert __version__ == (f"{newest}.dev0" if released == "unreleased" else newest)
