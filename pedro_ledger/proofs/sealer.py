"""Making checkpoints: all accounts of one snapshot under one signed root, in the file and in the database."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from pedro_ledger.ledger.errors import OperatorError, Unavailable
from pedro_ledger.ledger.evidence.checkpoints import NONE_BEFORE, Checkpoint, line_hash, read_lines
from pedro_ledger.ledger.evidence.strict_json import EvidenceError
from pedro_ledger.postgres.database import Database
from pedro_ledger.proofs.errors import CheckpointError
from pedro_ledger.proofs.log_file import LogFile, opened_log
from pedro_ledger.proofs.signing import Signer, is_signed
from pedro_ledger.store.proofs.checkpoints import SealingTurn, Tree, find_departure, sealed_checkpoints, sealing_turn

TREES_KEPT = 8
EARLY_S = 0.5
log = structlog.get_logger(__name__)


class Sealer:
    """Seals every `every_s` seconds, on whichever replica comes first."""

    def __init__(
        self,
        database: Database,
        signer: Signer,
        file: Path,
        *,
        every_s: float = 0,
        on_turn: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        self._database = database
        self._signer = signer
        self._file = file
        self._every_s = every_s
        self._on_turn = on_turn

    async def tick(self) -> None:
        """Seal if it is time, and count what became of it. Raises what `seal` raises."""
        try:
            made = await self.seal(unless_younger_s=self._every_s - EARLY_S)
        except Unavailable:
            self._on_turn("unavailable")
            raise
        except OperatorError:
            self._on_turn("refused")
            raise
        self._on_turn("not_due" if made is None else "made")
        if made is not None:
            log.info("checkpoint", number=made.number, accounts=made.accounts, root=made.root.hex())

    async def seal(self, *, unless_younger_s: float = 0) -> Checkpoint | None:
        """Make a checkpoint; None where another session is at it or the latest is younger than that.

        Either way the file has every line that the database has. Raises `CheckpointError`; and will not sign a ledger that
        left what was sealed before.
        """
        with ExitStack() as stack:
            async with sealing_turn(self._database) as turn:
                if turn is None:
                    return None
                file = stack.enter_context(opened_log(self._file))
                at = await turn.now()
                known = self._in_step(file, await turn.lines())
                if known and at < _moment(known[-1].at) + timedelta(seconds=unless_younger_s):
                    return None
                await self._require_faithful(turn)
                tree = await turn.write_pages(len(known) + 1)
                checkpoint = self._signed(known, at, tree)
                await turn.add(checkpoint, TREES_KEPT)
            # Committed: the file is never ahead of the database, but of one that was rolled back.
            file.append([checkpoint.line])
            return checkpoint

    def _in_step(self, file: LogFile, lines: list[str]) -> list[Checkpoint]:
        """All checkpoints. Lines that the file lacks are added to it."""
        if len(file.lines) > len(lines):
            raise CheckpointError(f"the database lacks checkpoints that are in {self._file}: {_AFTER_RESTORE}")
        if lines[: len(file.lines)] != file.lines:
            raise CheckpointError(f"{self._file} and the database have different checkpoints: {_AFTER_RESTORE}")
        try:
            known = read_lines(lines, is_signed, self._signer.public_key)
        except EvidenceError as error:
            raise CheckpointError(f"{self._file}: {error}") from None
        file.append(lines[len(file.lines) :])
        return known

    async def _require_faithful(self, turn: SealingTurn) -> None:
        try:
            latest = (await sealed_checkpoints(turn.connection))[-1:]
            departure = await find_departure(turn.connection, latest[0]) if latest else None
        except EvidenceError as error:
            raise CheckpointError(f"{error}: run pedro-ledger verify --checkpoint {self._file}") from None
        if departure is not None:
            raise CheckpointError(f"user {departure.user_id} seq {departure.seq}: {departure.what}")

    def _signed(self, known: list[Checkpoint], at: datetime, tree: Tree) -> Checkpoint:
        previous = line_hash(known[-1].line) if known else NONE_BEFORE
        if known and (tree.accounts < known[-1].accounts or tree.entries < known[-1].entries):
            raise CheckpointError(f"the ledger is smaller than checkpoint {known[-1].number} says: {_AFTER_RESTORE}")
        text = at.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
        unsigned = Checkpoint(
            len(known) + 1, text, tree.accounts, tree.entries, tree.root, previous, self._signer.public_key
        )
        return unsigned._replace(signature=self._signer.sign(unsigned.statement))


_AFTER_RESTORE = (
    "the ledger was rolled back, or restored from a backup; run pedro-ledger verify --checkpoint with the file, "
    "and where the restore was meant, move the file away to begin anew from the database's own checkpoints"
)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
