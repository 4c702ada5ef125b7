"""What the ledger puts on the app's tables, in words: read from the migrations themselves, so that
it can be told before any is applied.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

_MADE = re.compile(
    r"^CREATE TRIGGER (?P<name>\w+)\s+(?:BEFORE|AFTER) (?P<events>[^;]+?) ON public\.\"(?P<table>\w+)\"(?P<rest>.*?);$",
    re.MULTILINE | re.DOTALL,
)
_GONE = re.compile(r"^DROP TRIGGER (?P<name>\w+) ON public\.\"(?P<table>\w+)\";$", re.MULTILINE)
_CALL = re.compile(r"EXECUTE FUNCTION pedro_ledger\.(?P<function>\w+)\((?:'(?P<argument>(?:[^']|'')*)')?\)\s*$")
_KNOWN = {
    "user": "a user with an account or with history stays; set isActive to false instead",
    "balance": "the balance of a user with an account or with history stays",
}
"""What `refuse_known` says, by its argument."""
_FOLLOWED = {
    "note_balances": "counted for the reports",
    "note_signups": "counted for the reports",
    "follow_plan": "the account follows the plan",
    "follow_clerk_id": "the account follows the plan",
    "note_clerk_move": "the Clerk id names its new owner from the next charge on",
}
"""What functions do that refuse nothing."""


class Guard(NamedTuple):
    """A trigger of ours on one of the app's tables."""

    table: str
    name: str
    events: str
    """The writes that it sees, as SQL has them."""
    refuses: bool
    """Whether it refuses writes; otherwise they are followed."""
    words: str
    """What the app is told, or what follows."""


def list_guards(migrations: Iterable[str]) -> list[Guard]:
    """The guards that these migrations leave on the app's tables, in order of table and name."""
    guards: dict[tuple[str, str], Guard] = {}
    for text in migrations:
        for gone in _GONE.finditer(text):
            guards.pop((gone["table"], gone["name"]), None)
        for made in _MADE.finditer(text):
            guards[made["table"], made["name"]] = _guard(made)
    return [guards[place] for place in sorted(guards)]


def _guard(made: re.Match[str]) -> Guard:
    call = _CALL.search(made["rest"])
    assert call is not None, f"the trigger {made['name']} calls a function of ours"
    function, argument = call["function"], (call["argument"] or "").replace("''", "'")
    words = {"refuse": argument.removeprefix("pedro_ledger: "), "refuse_known": _KNOWN.get(argument, argument)}.get(
        function
    )
    followed = words or _FOLLOWED.get(function, "followed by the ledger")
    return Guard(made["table"], made["name"], " ".join(made["events"].split()), words is not None, followed)
