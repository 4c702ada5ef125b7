"""Proofs of single entries, for those who do not want to believe."""

from typing import cast

import structlog

from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.reading import query
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response, json_response
from pedro_ledger.api.schemas import answers
from pedro_ledger.api.schemas.queries import NoQuery
from pedro_ledger.ledger.errors import EntryNotFound
from pedro_ledger.ledger.evidence.checkpoints import PAGE_LEAVES
from pedro_ledger.ledger.evidence.merkle import path_of
from pedro_ledger.ledger.evidence.proofs import Proof, check
from pedro_ledger.ledger.evidence.strict_json import EvidenceError
from pedro_ledger.proofs.signing import is_signed
from pedro_ledger.store.proofs.proofs import ProofStore

ENTRIES_AFTER_MAX = 10_000
log = structlog.get_logger(__name__)


async def proof(request: Request, proofs: ProofStore) -> Response[answers.Proof]:
    """What it takes to check one entry against a signed checkpoint, without the ledger."""
    query(request, NoQuery)
    async with proofs.reader() as reader:
        found = await reader.entry(request.path_values["entry"])
        if found is None:
            raise EntryNotFound("There is no such entry.")
        try:
            sealed = await reader.account(found.user_id, found.entry.seq)
        except EvidenceError as error:
            raise _impossible(str(error)) from None
        if sealed is None:
            raise Problem(
                409, "not_sealed_yet", "No checkpoint covers the entry",
                "Ask again after the next checkpoint; pedro-ledger checkpoint makes one, PEDRO_CHECKPOINT_EVERY_S makes them regularly.",
            )  # fmt: skip
        entries_after = sealed.leaf.seq - found.entry.seq
        if entries_after > ENTRIES_AFTER_MAX:
            raise Problem(
                409, "proof_too_long", "Too many entries came before the checkpoint",
                f"{entries_after} entries lie between this one and the checkpoint; a proof leads over at most {ENTRIES_AFTER_MAX}.",
                entriesAfter=entries_after, entriesAfterMax=ENTRIES_AFTER_MAX,
            )  # fmt: skip
        after = await reader.digests_after(found.user_id, found.entry.seq, sealed.leaf.seq)
        roots = await reader.page_roots(sealed.checkpoint.number)
    made = Proof(
        found.user_id,
        found.entry,
        found.previous,
        after,
        sealed.leaf.posted,
        sealed.leaf.held,
        sealed.page * PAGE_LEAVES + sealed.place,
        path_of(sealed.page_hashes, sealed.place) + path_of(roots, sealed.page),
        sealed.checkpoint,
    )
    try:
        check(made, is_signed)
    except EvidenceError as error:
        raise _impossible(str(error)) from None
    return json_response(cast(answers.Proof, made.json()))


def _impossible(reason: str) -> Problem:
    """The ledger or the sealed accounts have changed since the checkpoint: no proof would hold."""
    log.critical("proof_impossible", reason=reason)
    return Problem(
        409, "proof_impossible", "The entry cannot be proven",
        f"The ledger and its checkpoint disagree: {reason}. The operator must run pedro-ledger verify --checkpoint.",
    )  # fmt: skip
