"""Entries on the wire."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from pedro_ledger.api.http.responses import lots_json
from pedro_ledger.api.schemas.answers import Entry
from pedro_ledger.ledger.times import time_text


def entry_json(user_id: str, row: Mapping[str, Any], related_id: str | None) -> Entry:
    """An entry on the wire; `credits` is the signed change."""
    shown: Entry = {
        "id": row["id"],
        "userId": user_id,
        "seq": row["seq"],
        "type": row["kind"],
        "operationType": row["operation_type"],
        "credits": row["credits"],
        "balanceAfter": row["balance_after"],
        "heldAfter": row["held_after"],
        "relatedEntryId": related_id,
        "source": row["source"],
        "idempotencyKey": row["idempotency_key"],
        "keyId": row["actor"],
        "price": row["price"],
        "details": orjson.loads(row["details"]) if row["details"] else None,
        "timestamp": time_text(datetime.fromisoformat(row["created_at"])),
        "hash": row["hash"][2:],
    }
    effects = {} if row["effects"] is None else orjson.loads(row["effects"])
    if "held" in effects:
        shown["heldChange"] = effects["held"]
    if "lots" in effects:
        shown["lots"] = lots_json(effects["lots"])
    if "model" in effects:
        shown["model"] = effects["model"]
    if "tokens" in effects:
        uncached, cached, write, output = effects["tokens"]
        shown["tokens"] = {"uncachedInput": uncached, "cachedInput": cached, "cacheWrite": write, "output": output}
    if row["expires_at"] is not None:
        shown["expiresAt"] = time_text(datetime.fromisoformat(row["expires_at"]))
    return shown
