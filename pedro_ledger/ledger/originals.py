"""What an operation must know of an earlier entry that it names, from that entry and those that are
about it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pedro_ledger.ledger.account import Closing, Original
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.open_items import BASE_PRIORITY, Lot, OpenHold, Rollover, Shares
from pedro_ledger.ledger.operations import LAPSE_KEY
from pedro_ledger.ledger.tokens import Tokens


def original_of(entry: Entry, related: Sequence[Entry], grants: Sequence[Entry]) -> Original:
    """Entry as an operation sees it that names it.

    `related` are the entries that name it, in order of seq; `grants` those that made the lots which
    it drew from, and those that ended them.
    """
    if entry.kind == "hold":
        used = -sum([each.credits for each in related if each.kind == "capture"])
        return Original(
            entry.seq, entry.id, "hold", entry.operation_type, used, 0, hold=_hold(entry, related),
            closing=_closing(related),
        )  # fmt: skip
    refunded = sum([each.credits for each in related if each.kind == "refund"])
    spent = shares_of(effects_of(entry).get("lots"))
    ended = {each.related_seq for each in grants if each.kind == "expiry"}
    terms = {each.seq: lot_of(each)._replace(is_closed=each.seq in ended) for each in grants if each.kind != "expiry"}
    return Original(
        entry.seq, entry.id, entry.kind, entry.operation_type, -entry.credits, refunded, spent,
        terms, on_behalf_of=effects_of(entry).get("onBehalfOf"),
    )  # fmt: skip


def lot_of(entry: Entry) -> Lot:
    """The lot that a grant made, or a refund of credits whose own lot had ended."""
    effects = effects_of(entry)
    rule = effects.get("rollover")
    size = entry.credits
    if entry.kind == "refund":
        size = next(credits for lot, credits in effects["lots"] if lot == entry.seq)
    priority = BASE_PRIORITY if entry.priority is None else entry.priority
    return Lot(
        entry.seq, priority, entry.expires_at_ms, size, size, rule and rule_of(rule), entry.source == "rollover",
        next_ms=effects.get("next"),
    )  # fmt: skip


def effects_of(entry: Entry) -> dict[str, Any]:
    """What an entry does beyond a plain one."""
    effects: dict[str, Any] = {} if entry.effects is None else json.loads(entry.effects)
    return effects


def rule_of(effect: dict[str, Any]) -> Rollover:
    """A rollover rule from how effects show it."""
    after = effect["expiresIn"]
    return Rollover(
        effect["percent"], effect.get("cap"), effect["times"], None if after == "nextPeriod" else after * 1000
    )


def shares_of(effect: Sequence[Sequence[int]] | None) -> Shares | None:
    """Shares from how effects show them, without their sign."""
    return None if effect is None else tuple([(seq, abs(credits)) for seq, credits in effect])


def _hold(entry: Entry, related: Sequence[Entry]) -> OpenHold:
    """A hold with all that was ever reserved for it; what it pins is not told, for it may be
    closed.
    """
    reserved = sum([effects_of(each).get("held", 0) for each in (entry, *related) if each.kind in {"hold", "extend"}])
    assert entry.expires_at_ms is not None, "a hold has an end"
    return OpenHold(
        entry.seq, entry.at_ms, entry.operation_type or "", (), reserved, 0, entry.expires_at_ms,
        reference=(effects_of(entry).get("terms") or {}).get("reference"),
        micro=sum([effects_of(each).get("micro", 0) for each in related]), model=effects_of(entry).get("model"),
        on_behalf_of=effects_of(entry).get("onBehalfOf"),
    )  # fmt: skip


def tokens_of(effects: Mapping[str, Any]) -> Tokens | None:
    """Counts of tokens from how effects show them."""
    return Tokens(*effects["tokens"]) if "tokens" in effects else None


def _closing(related: Sequence[Entry]) -> Closing | None:
    closing: Closing | None = None
    for each in related:
        if closing is not None:
            if each.kind in {"capture", "void"}:
                closing = closing._replace(is_captured_late=True)
        elif each.key.startswith(LAPSE_KEY):
            assert each.expires_at_ms is not None, "a lapse tells its moment"
            closing = Closing(each.id, each.kind, each.expires_at_ms, True, -each.credits)
        elif each.kind == "void" or (each.kind == "capture" and effects_of(each).get("final")):
            closing = Closing(each.id, each.kind, each.at_ms, False)
    return closing
