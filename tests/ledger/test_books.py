"""Whole histories of random operations, against a second model that is too simple to be wrong."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pedro_ledger.ledger.account import CREDITS_MAX, Account, Original
from pedro_ledger.ledger.decide import Facts
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.evidence.audit import AccountSnapshot, UserAudit
from pedro_ledger.ledger.operations import Adjustment, Deduct, Grant, Operation, Recovery, Refund
from pedro_ledger.ledger.units import Unit

amounts = st.integers(1, 200) | st.integers(1, CREDITS_MAX)


class Books(RuleBasedStateMachine):
    """The account as `decide` keeps it, beside a plain list of signed numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.account = Account.new("u")
        self.entries: list[Entry] = []
        self.numbers: list[int] = []
        self.left: dict[int, int] = {}
        self.now = 1_795_000_000_000

    def apply(self, *operations: Operation) -> list[Entry | Any]:
        originals = {
            entry.seq: Original(
                entry.seq,
                entry.id,
                entry.kind,
                entry.operation_type,
                -entry.credits,
                -entry.credits - self.left[entry.seq],
            )
            for entry in self.entries
            if entry.seq in self.left
        }
        self.now += 1
        unit: Unit[None] = Unit(self.account, Facts(originals=originals), self.now)
        for operation in operations:
            unit.add(None, operation)
        self.account = unit.seal()
        decided = [each for _, each in unit.decided]
        self.entries += [each for each in decided if isinstance(each, Entry)]
        return decided

    @rule(credits=amounts)
    def grant(self, credits: int) -> None:
        (decided,) = self.apply(Grant(f"k{self.now}", "a", credits, "promo"))
        fits = sum(self.numbers) + credits <= CREDITS_MAX
        assert isinstance(decided, Entry) == fits
        if fits:
            self.numbers.append(credits)

    @rule(parts=st.lists(amounts, min_size=1, max_size=4))
    def deducts_in_one_unit(self, parts: list[int]) -> None:
        decided = self.apply(*(Deduct(f"k{self.now}-{i}", "a", "X", part) for i, part in enumerate(parts)))
        for part, each in zip(parts, decided, strict=True):
            fits = part <= sum(self.numbers)
            assert isinstance(each, Entry) == fits
            if isinstance(each, Entry):
                self.numbers.append(-part)
                self.left[each.seq] = part

    @rule(data=st.data())
    def refund_in_parts(self, data: st.DataObject) -> None:
        if not self.left:
            return
        seq = data.draw(st.sampled_from(sorted(self.left)))
        entry = self.entries[seq - 1]
        parts = data.draw(st.lists(st.none() | st.integers(1, max(1, self.left[seq] + 1)), min_size=1, max_size=3))
        decided = self.apply(
            *(Refund(f"k{self.now}-{i}", "a", entry.id, seq, None, part) for i, part in enumerate(parts))
        )
        for part, each in zip(parts, decided, strict=True):
            left = self.left[seq]
            given = left if part is None else part
            fits = 0 < given <= left and sum(self.numbers) + given <= CREDITS_MAX
            assert isinstance(each, Entry) == fits
            if fits:
                self.left[seq] -= given
                self.numbers.append(given)

    @rule(credits=st.integers(-300, 300))
    def adjust(self, credits: int) -> None:
        (decided,) = self.apply(Adjustment(f"k{self.now}", "a", credits, "correction"))
        fits = 0 <= sum(self.numbers) + credits <= CREDITS_MAX
        assert isinstance(decided, Entry) == fits
        if fits:
            self.numbers.append(credits)

    @rule(credits=st.integers(0, 300))
    def recover(self, credits: int) -> None:
        (decided,) = self.apply(Recovery(f"k{self.now}", "a", credits, "plan"))
        assert isinstance(decided, Entry)
        self.numbers.append(-min(credits, sum(self.numbers)))

    @invariant()
    def the_books_agree(self) -> None:
        assert self.account.posted == sum(self.numbers) >= 0
        assert [entry.credits for entry in self.entries] == self.numbers
        audit = UserAudit("u")
        for entry in self.entries:
            audit.follow(entry)
        account = self.account
        assert audit.close(AccountSnapshot("u", account.seq, account.posted, 0, account.head, account.posted)) is None


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
