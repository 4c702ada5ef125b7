"""The newest version of the CHANGELOG is the package's; `.dev0` stands for "unreleased"."""

import re
from hashlib import sha256

from pedro_ledger import __version__
from tests.support.places import ROOT

LATEST_RELEASE, RELEASED_DIGEST = "0.1.0", "e8fd038e2176e974"


def test_the_newest_version_is_the_package_s() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (unreleased|\d{4}-\d\d-\d\d)$", text, re.MULTILINE)
    assert len(versions) == text.count("\n## "), "each version has its number and its day"
    newest, released = versions[0]
    assert __version__ == (f"{newest}.dev0" if released == "unreleased" else newest)


def test_what_was_released_is_not_rewritten() -> None:
    """What is new goes under the newest version; a merge easily puts it further down."""
    text = (ROOT / "CHANGELOG.md").read_text()
    released = text[text.index(f"## [{LATEST_RELEASE}]") :]
    assert sha256(released.encode()).hexdigest()[:16] == RELEASED_DIGEST
