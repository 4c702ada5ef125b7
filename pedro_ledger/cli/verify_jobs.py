"""What `verify` has other processes do. They import this module alone, so it imports little."""

import asyncio
from typing import NamedTuple

from pedro_ledger.ledger.evidence.checkpoints import Checkpoint
from pedro_ledger.ledger.evidence.strict_json import EvidenceError
from pedro_ledger.postgres.database import Database
from pedro_ledger.postgres.url import DatabaseUrl
from pedro_ledger.store.journal.audit import Share, ShareAudit, audit_share, in_snapshot
from pedro_ledger.store.proofs.checkpoints import find_departure
from pedro_ledger.telemetry.logs import configure_logs


class Finding(NamedTuple):
    """What is wrong; without a user where it is the checkpoints."""

    user_id: str | None
    seq: int | None
    what: str


async def check_sealed(database: Database, snapshot: str, checkpoint: Checkpoint) -> Finding | None:
    """The first account that does not pass through what a checkpoint sealed."""
    async with in_snapshot(database, snapshot) as connection:
        try:
            departure = await find_departure(connection, checkpoint)
        except EvidenceError as error:
            return Finding(None, None, str(error))
    return None if departure is None else Finding(*departure)


def audit_in_process(url: DatabaseUrl, share: Share) -> ShareAudit:
    """Check a share of the users."""
    configure_logs("error", "auto")
    return asyncio.run(audit_share(Database(url), share))


def check_in_process(url: DatabaseUrl, snapshot: str, checkpoint: Checkpoint) -> Finding | None:
    """Compare the ledger with what a checkpoint sealed."""
    configure_logs("error", "auto")
    return asyncio.run(check_sealed(Database(url), snapshot, checkpoint))
