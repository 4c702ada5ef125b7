"""Making checkpoints: all accounts of one snapshot under one signed root, in the file and in the
database.
"""

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
from pedro_ledger.proofs.log_file import LogFile, Place, opened_log
from pedro_ledger.proofs.off_loop import off_loop
from pedro_ledger.proofs.signing import Signer, is_signed
from pedro_ledger.store.proofs.checkpoints import (
    SealingSession,
    Tree,
    find_departure,
    sealed_checkpoints,
    sealing_session,
)

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
        self._latest: Checkpoint | None = None
        """The latest checkpoint that was checked, with all before it."""
        self._place: Place | None = None
        """Where its line ends in the file."""

    async def tick(self) -> None:
        """Seal if it is time, and count what became of it. Raises what `seal` raises.

        On a thread of its own: whoever seals reads all accounts and hashes them, and requests must
        not wait for that.
        """
        try:
            made = await off_loop(lambda: self.seal(unless_younger_s=self._every_s - EARLY_S))
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
        """Make a checkpoint; None where another session is at it or the latest is younger than
        that.

        Either way the file has every line that the database has. Raises `CheckpointError`; and will
        not sign a ledger that left what was sealed before. What was checked once is remembered:
        only lines that came since are read again.
        """
        with ExitStack() as stack:
            async with sealing_session(self._database) as session:
                if session is None:
                    return None
                file = stack.enter_context(opened_log(self._file, self._place))
                at = await session.now()
                latest = await self._in_step(file, session)
                if latest is not None and at < _moment(latest.at) + timedelta(seconds=unless_younger_s):
                    return None
                await self._require_faithful(session)
                tree = await session.write_pages(1 if latest is None else latest.number + 1)
                checkpoint = self._signed(latest, at, tree)
                await session.add(checkpoint, TREES_KEPT)
            # Committed: the file is never ahead of the database, but of one that was rolled back.
            file.append([checkpoint.line])
            self._remember(file, checkpoint)
            return checkpoint

    async def _in_step(self, file: LogFile, session: SealingSession) -> Checkpoint | None:
        """The latest checkpoint. Lines that the file lacks are added to it."""
        known = self._latest if file.follows else None
        lines = await session.lines(1 if known is None else known.number)
        if known is not None:
            if lines[:1] != [known.line]:
                raise CheckpointError(f"the database lacks checkpoint {known.number}: {_AFTER_RESTORE}")
            lines = lines[1:]
        if len(file.lines) > len(lines):
            raise CheckpointError(f"the database lacks checkpoints that are in {self._file}: {_AFTER_RESTORE}")
        if lines[: len(file.lines)] != file.lines:
            raise CheckpointError(f"{self._file} and the database have different checkpoints: {_AFTER_RESTORE}")
        try:
            read = read_lines(lines, is_signed, self._signer.public_key, after=known)
        except EvidenceError as error:
            raise CheckpointError(f"{self._file}: {error}") from None
        file.append(lines[len(file.lines) :])
        latest = read[-1] if read else known
        if latest is not None:
            self._remember(file, latest)
        return latest

    def _remember(self, file: LogFile, latest: Checkpoint) -> None:
        self._latest, self._place = latest, Place(file.end, latest.line)

    async def _require_faithful(self, session: SealingSession) -> None:
        try:
            latest = (await sealed_checkpoints(session.connection))[-1:]
            departure = await find_departure(session.connection, latest[0]) if latest else None
        except EvidenceError as error:
            raise CheckpointError(f"{error}: run pedro-ledger verify --checkpoint {self._file}") from None
        if departure is not None:
            raise CheckpointError(f"user {departure.user_id} seq {departure.seq}: {departure.what}")

    def _signed(self, latest: Checkpoint | None, at: datetime, tree: Tree) -> Checkpoint:
        previous = NONE_BEFORE if latest is None else line_hash(latest.line)
        if latest is not None and (tree.accounts < latest.accounts or tree.entries < latest.entries):
            raise CheckpointError(f"the ledger is smaller than checkpoint {latest.number} says: {_AFTER_RESTORE}")
        text = at.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
        unsigned = Checkpoint(
            1 if latest is None else latest.number + 1,
            text,
            tree.accounts,
            tree.entries,
            tree.root,
            previous,
            self._signer.public_key,
        )
        return unsigned._replace(signature=self._signer.sign(unsigned.statement))


_AFTER_RESTORE = (
    "the ledger was rolled back, or restored from a backup; run pedro-ledger verify --checkpoint with the file, "
    "and where the restore was meant, move the file away to begin anew from the database's own checkpoints"
)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
