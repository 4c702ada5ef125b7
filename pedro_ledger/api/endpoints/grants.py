"""A user's open grants: what is left of each, in the order in which they burn."""

from datetime import UTC, datetime

from pedro_ledger.api.http.reading import query, user_ref
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response, json_response, rollover_json
from pedro_ledger.api.schemas import answers
from pedro_ledger.api.schemas.queries import NoQuery
from pedro_ledger.ledger.due import as_of
from pedro_ledger.ledger.open_items import BASE, Lot
from pedro_ledger.ledger.times import moment_text
from pedro_ledger.store.journal.open_items import AccountRow, OpenItemsReader


async def list_open(request: Request, open_items: OpenItemsReader) -> Response[answers.Grants]:
    """Grants that end or have a priority, in burn order, and the rest of the balance."""
    query(request, NoQuery)
    row = await open_items.account(user_ref(request))
    return json_response(grants_json(row))


def grants_json(row: AccountRow) -> answers.Grants:
    """Open grants on the wire, as of now."""
    account, _ = as_of(row.account, int(datetime.now(UTC).timestamp() * 1000))
    held: dict[int, int] = {}
    for hold in () if account.open is None else account.open.holds:
        for seq, credits in hold.shares:
            held[seq] = held.get(seq, 0) + credits
    lots = () if account.open is None else account.open.lots
    return {
        "items": [_lot_json(lot, row, held.get(lot.seq, 0)) for lot in lots if lot.seq in row.made],
        "base": {"remaining": account.base, "held": held.get(BASE, 0)},
    }


def _lot_json(lot: Lot, row: AccountRow, held: int) -> answers.OpenGrant:
    made = row.made[lot.seq]
    return {
        "entryId": made["id"],
        "source": made["source"] or ("refund" if made["kind"] == "refund" else None),
        "credits": lot.granted,
        "remaining": lot.free,
        "held": held,
        "priority": lot.priority,
        "expiresAt": None if lot.expires_ms is None else moment_text(lot.expires_ms),
        "rollover": None if lot.rollover is None else rollover_json(lot.rollover),
    }
