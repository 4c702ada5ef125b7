"""Checking a ledger: each user's entries against the rules that made them and against the account
that they lead to.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from pedro_ledger.ledger.chain import GENESIS, VERSION, entry_hash
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.evidence.recompute import Recomputation, without_heartbeats
from pedro_ledger.ledger.evidence.recount import Recount
from pedro_ledger.ledger.ids import account_tag, entry_id
from pedro_ledger.ledger.meters import Meter
from pedro_ledger.ledger.open_items import Open


class Finding(NamedTuple):
    """The first thing that is wrong with a user's ledger; `seq` is None where it is no entry's
    fault.
    """

    user_id: str
    seq: int | None
    what: str


class AccountSnapshot(NamedTuple):
    """What an account says of itself, and what the app's `CreditBalance` says of it."""

    user_id: str
    seq: int
    posted: int
    held: int
    head: bytes
    shown: int | None
    open: Open | None = None
    """Open lots and holds, as the account row keeps them."""


class UserAudit:
    """Follows one user's entries in order of seq.

    Only the first problem counts: what follows a break proves nothing.
    """

    __slots__ = ("held", "posted", "previous", "problem", "recomputation", "recount", "seq", "tag", "user_id")

    def __init__(self, user_id: str, meters: Sequence[Meter] = ()) -> None:
        """`meters` are those of the account, which are counted again from the entries."""
        self.user_id = user_id
        self.recount = Recount(meters) if meters else None
        self.tag = account_tag(user_id)
        self.seq = self.posted = self.held = 0
        self.previous = GENESIS
        self.problem: Finding | None = None
        self.recomputation: Recomputation | None = None
        """Begun with the first entry that is not plain."""

    def follow(self, entry: Entry) -> None:
        """Take in the next entry."""
        if self.problem is not None:
            return
        expected = self.seq + 1
        if entry.seq != expected:
            self._found(expected, f"entry {expected} is missing; the next one is {entry.seq}")
        elif entry.balance_after != self.posted + entry.credits:
            self._found(
                entry.seq, f"balance {self.posted} and change {entry.credits} do not make {entry.balance_after}"
            )
        elif not 0 <= entry.held_after <= entry.balance_after:
            self._found(entry.seq, f"{entry.held_after} credits are held of {entry.balance_after}")
        elif entry.id != entry_id(entry.at_ms, self.tag, entry.seq):
            self._found(entry.seq, f"id {entry.id} does not name this place and time")
        elif entry.hash != entry_hash(self.previous, self.user_id, entry):
            self._found(entry.seq, "the hash does not follow from the entry before and from what the entry says")
        elif (wrong := self._recompute(entry)) is not None:
            self._found(entry.seq, wrong)
        self.seq, self.posted, self.held, self.previous = entry.seq, entry.balance_after, entry.held_after, entry.hash
        if self.recount is not None:
            self.recount.follow(entry)

    def _recompute(self, entry: Entry) -> str | None:
        if self.recomputation is None:
            is_plain = entry.effects is None and entry.expires_at_ms is None and entry.priority is None
            if is_plain and entry.held_after == 0:
                return None
            self.recomputation = Recomputation(self.user_id, self.seq, self.posted)
        return self.recomputation.follow(entry)

    def close(self, snapshot: AccountSnapshot | None) -> Finding | None:
        """Compare with the account; the first problem of the user, or None."""
        if self.problem is None:
            if snapshot is None:
                self._found(None, "there are entries and no account")
            elif snapshot.seq != self.seq:
                self._found(self.seq + 1, f"the account has {snapshot.seq} entries, of which {self.seq} are there")
            elif snapshot.head != self.previous:
                self._found(self.seq, "the account's head is not the hash of its last entry")
            elif (snapshot.posted, snapshot.held) != (self.posted, self.held):
                self._found(self.seq, f"the account has {snapshot.posted} credits, its entries make {self.posted}")
            elif without_heartbeats(snapshot.open) != without_heartbeats(
                None if self.recomputation is None else self.recomputation.open
            ):
                self._found(self.seq, "the account's open lots and holds are not what its entries lead to")
            elif self.recount is not None and (wrong := self.recount.compare()) is not None:
                self._found(self.seq, wrong)
            elif snapshot.shown != snapshot.posted:
                self._found(None, f"the app is shown {snapshot.shown} credits of {snapshot.posted}")
        return self.problem

    def _found(self, seq: int | None, what: str) -> None:
        self.problem = Finding(self.user_id, seq, what)


class FastUserAudit:
    """Follows one user's entries as `UserAudit` does, quickly: it tells whether all is well, not
    what is wrong.
    """

    __slots__ = ("held", "ok", "posted", "previous", "seq", "tag", "user_id")

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.tag = account_tag(user_id)
        self.seq = self.posted = self.held = 0
        self.previous = GENESIS
        self.ok = True

    def follow(self, seq: int, credits: int, balance_after: int, held_after: int, hash_: bytes, form: str) -> None:
        """Take in the next entry; `form` is its canonical form with \\x01 in place of NUL. Texts
        that have \\x01 never look well.
        """
        fields = form.split("\x01")
        if (
            fields[0] != VERSION  # what is not plain is recomputed: effects, and grants that end or have a priority
            or fields[11]
            or fields[12]
            or seq != self.seq + 1
            or balance_after != self.posted + credits
            or held_after
            or balance_after < 0
            or fields[3] != entry_id(int(fields[-1]), self.tag, seq)
            or sha256(self.previous + sha256("\0".join(fields).encode()).digest()).digest() != hash_
        ):
            self.ok = False
        self.seq, self.posted, self.held, self.previous = seq, balance_after, held_after, hash_

    def agrees(self, snapshot: AccountSnapshot | None) -> bool:
        """Whether the entries are well and lead to the account, and the app sees the same."""
        return (
            self.ok
            and snapshot is not None
            and snapshot == AccountSnapshot(self.user_id, self.seq, self.posted, self.held, self.previous, self.posted)
        )
