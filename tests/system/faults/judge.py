"""The judge: lays what clients asked and were told beside what the ledger holds, and names every
disagreement.

A second, simpler model of the ledger. It shares no code with pedro_ledger: it knows the rules from
API.md, and the hash chain from docs/formats/hash-chain.md.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from hashlib import sha256
from itertools import accumulate
from typing import Any, NamedTuple

from tests.system.faults.books import Line, UserBooks
from tests.system.faults.history import APPLIED, NEVER, REFUSED, REUSED, UNKNOWN, Attempt, UserHistory

OWN_KEYS = {"§signup": "grant", "§opening": "opening"}
"""Entries that no client asks for by key: a user's first one."""


BY_ITSELF = {"§expire:": {"expiry"}, "§lapse:": {"expiry", "capture"}, "§rollover:": {"grant"}}
"""Entries that the ledger makes when their moment has come; each names what it is about."""


class Fault(NamedTuple):
    """One thing that must not happen, and did."""

    name: str
    user: str
    what: str


def judge(histories: Mapping[str, UserHistory], books: Mapping[str, UserBooks]) -> list[Fault]:
    """Every disagreement between the two sides."""
    faults: list[Fault] = []
    for user in sorted(histories.keys() | books.keys()):
        trial = _Trial(user, histories.get(user) or UserHistory(), books.get(user) or UserBooks())
        faults += [Fault(name, user, what) for name, what in trial.faults()]
    return faults


class _Trial:
    """One user's."""

    def __init__(self, user: str, history: UserHistory, books: UserBooks) -> None:
        self.user = user
        self.history = history
        self.books = books
        self.lines_by_key: dict[str, list[Line]] = defaultdict(list)
        for line in books.lines:
            self.lines_by_key[line.key].append(line)

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from self._the_ledger_alone()
        yield from self._what_was_derived()
        for key, attempts in self.history.attempts.items():
            yield from self._one_key(key, attempts)
        yield from self._what_nobody_asked()
        yield from self._order()
        yield from self._answers_in_time()

    def _the_ledger_alone(self) -> Iterator[tuple[str, str]]:
        """Replay by seq: no gap, no debt, each balance the sum so far, refunds within what was
        used, the chain whole.
        """
        balance, head = 0, bytes(32)
        refundable: dict[int, int] = {}
        for place, line in enumerate(self.books.lines, 1):
            if line.seq != place:
                yield "gap", f"seq {line.seq} where {place} was due"
                return
            balance += line.credits
            if line.balance_after != balance:
                yield "wrong balance", f"seq {line.seq} says {line.balance_after}, the sum is {balance}"
                balance = line.balance_after
            if not 0 <= line.held_after <= line.balance_after:
                yield "overdrawn", f"seq {line.seq}: {line.held_after} held of {line.balance_after}"
            if line.kind in {"deduct", "capture"}:
                refundable[line.seq] = -line.credits
            elif line.kind == "refund" and line.related_seq is not None:
                refundable[line.related_seq] = refundable.get(line.related_seq, 0) - line.credits
                if refundable[line.related_seq] < 0:
                    yield "refunded too much", f"seq {line.seq} refunds more than seq {line.related_seq} used"
            head = sha256(head + sha256(canonical(self.user, line)).digest()).digest()
            if line.hash != head:
                yield "broken chain", f"seq {line.seq}"
                head = line.hash

    def _what_was_derived(self) -> Iterator[tuple[str, str]]:
        lines, books = self.books.lines, self.books
        last = lines[-1] if lines else None
        if books.account is None:
            if lines:
                yield "account disagrees", "there are entries and no account"
        elif last is not None:
            seq, posted, held, head = books.account
            if (seq, posted, held, head) != (last.seq, last.balance_after, last.held_after, last.hash):
                yield (
                    "account disagrees",
                    f"seq {seq}, posted {posted}; the last entry is {last.seq}, {last.balance_after}",
                )
        if last is not None and books.balance != last.balance_after:
            yield "balance disagrees", f"creditsRemaining {books.balance}, the ledger has {last.balance_after}"
        owed = {
            line.id: -line.credits
            for line in lines
            if line.kind in {"deduct", "refund"} or (line.kind == "capture" and line.credits)
        }
        if owed != books.usage:
            odd = sorted(set(owed.items()) ^ set(books.usage.items()))[:3]
            yield "usage disagrees", f"{sum(books.usage.values())} used, the ledger has {sum(owed.values())}; {odd}"

    def _one_key(self, key: str, attempts: list[Attempt]) -> Iterator[tuple[str, str]]:
        lines = self.lines_by_key.get(key, [])
        acknowledged = [each for each in attempts if each.verdict == APPLIED]
        refused = [each for each in attempts if each.verdict == REFUSED]
        receipts = {tuple(each.answer[3:7]) for each in acknowledged if each.answer is not None}
        if len(lines) > 1:
            yield "duplicated", f"{key} is in seq {[line.seq for line in lines]}"
        if len(receipts) > 1:
            yield "answers disagree", f"{key} was answered {sorted(receipts)}"
        if acknowledged and refused:
            yield "answers disagree", f"{key} was both acknowledged and refused"
        if lines and refused:
            yield "refused yet applied", f"{key}: {refused[0].answer} and seq {lines[0].seq}"
        if lines and key in self.books.refusals:
            yield "refused yet applied", f"{key} has a remembered refusal and seq {lines[0].seq}"
        if acknowledged and not lines:
            yield "lost", f"{key} was acknowledged as {sorted(receipts)} and is not there"
        if lines:
            line = lines[0]
            if acknowledged and all(
                (line.id, line.seq, abs(line.credits), line.balance_after) != each for each in receipts
            ):
                yield (
                    "changed",
                    f"{key} was acknowledged as {sorted(receipts)}, the ledger has seq {line.seq} {line.credits}",
                )
            causes = [each for each in attempts if each.verdict in {APPLIED, UNKNOWN}]
            if not causes:
                told = [(each.answer or [0])[:3] for each in attempts]
                yield "refused yet applied", f"{key} was told {told} and is there as seq {line.seq}"
            elif not any(is_what_was_asked(line, each.ask) for each in causes):
                yield "changed", f"{key}: asked {causes[0].request}, the ledger has {line.kind} {line.credits}"
        if any(each.verdict == REUSED for each in attempts) and len({each.request for each in attempts}) == 1:
            yield "answers disagree", f"{key} was told to be another request's, and there was only one"
        for each in acknowledged + refused:
            twin = next(iter(acknowledged + refused))
            if each.request != twin.request:
                yield "answers disagree", f"{key} was answered for two requests"
                break

    def _what_nobody_asked(self) -> Iterator[tuple[str, str]]:
        for line in self.books.lines:
            if line.key in self.history.attempts:
                continue
            kinds = BY_ITSELF.get(line.key[: line.key.find(":") + 1], set())
            if line.kind in kinds and line.key.split(":")[1] == str(line.related_seq):
                continue
            expected = self.history.start
            if (
                expected is None
                or OWN_KEYS.get(line.key) != expected[0]
                or (line.seq, line.credits) != (1, expected[1])
            ):
                yield "invented", f"seq {line.seq}, {line.kind} of {line.credits}, key {line.key}"

    def _order(self) -> Iterator[tuple[str, str]]:
        """What was acknowledged before another was sent has the smaller seq."""
        lines = self.books.lines
        acknowledged_after = NEVER
        later: Line | None = None
        for line in reversed(lines):
            sent, told = self._times(line.key)
            if later is not None and acknowledged_after < sent:
                yield (
                    "reordered",
                    f"seq {later.seq} ({later.key}) was acknowledged before seq {line.seq} ({line.key}) was sent",
                )
            if told < acknowledged_after:
                acknowledged_after, later = told, line

    def _times(self, key: str) -> tuple[float, float]:
        """When an operation was first sent, and first acknowledged."""
        attempts = self.history.attempts.get(key)
        if not attempts:
            return -1, NEVER
        return (
            min(each.sent_at for each in attempts),
            min((each.told_at for each in attempts if each.verdict == APPLIED), default=NEVER),
        )

    def _answers_in_time(self) -> Iterator[tuple[str, str]]:
        """A refusal for want of credits, and a balance, tell of a moment between question and
        answer.
        """
        lines = self.books.lines
        if not lines or lines[-1].seq != len(lines):
            return
        times = [self._times(line.key) for line in lines]
        by_told = sorted((told, line.seq) for (_, told), line in zip(times, lines, strict=True) if told < NEVER)
        told_at, told_seq = [each[0] for each in by_told], list(accumulate((each[1] for each in by_told), max))
        by_sent = sorted((sent, line.seq) for (sent, _), line in zip(times, lines, strict=True))
        sent_at, sent_seq = (
            [each[0] for each in by_sent],
            list(accumulate((s for _, s in reversed(by_sent)), min))[::-1],
        )

        def window(asked: float, answered: float) -> tuple[int, int]:
            """The first and the last seq that the account may have stood at."""
            before, after = bisect_left(told_at, asked), bisect_left(sent_at, answered)
            return (told_seq[before - 1] if before else 0), (
                sent_seq[after] - 1 if after < len(sent_seq) else len(lines)
            )

        stands: dict[int, list[int]] = defaultdict(list)
        stands[0].append(0)
        for line in lines:
            stands[line.balance_after - line.held_after].append(line.seq)
        for key, attempts in self.history.attempts.items():
            refused = [each for each in attempts if each.verdict == REFUSED and each.answer is not None]
            if not refused or refused[0].answer[1] != "insufficient_credits":  # type: ignore[index]
                continue
            first, last = window(min(each.sent_at for each in attempts), min(each.told_at for each in refused))
            available = refused[0].answer[6]  # type: ignore[index]
            seqs = stands.get(available, [])
            place = bisect_left(seqs, first)
            if place == len(seqs) or seqs[place] > last or refused[0].ask[3] <= available:
                yield (
                    "wrong refusal",
                    f"{key}: {refused[0].answer}; the account stood elsewhere from seq {first} to {last}",
                )
        for read in self.history.reads:
            first, last = window(read.sent_at, read.told_at)
            if not first <= read.seq <= last:
                yield "stale read", f"seq {read.seq} was read, where it must be from {first} to {last}"
            elif read.seq and lines[read.seq - 1].balance_after != read.balance:
                yield (
                    "wrong read",
                    f"seq {read.seq} was read with {read.balance}, the ledger has {lines[read.seq - 1].balance_after}",
                )


def is_what_was_asked(line: Line, ask: tuple[Any, ...]) -> bool:
    """Whether an entry is what an operation asks for."""
    _, _, kind, credits, entry = ask
    if line.kind != kind or (credits is not None and abs(line.credits) != credits):
        return False
    if (line.credits < 0) != (kind == "deduct"):
        return False
    return kind != "refund" or (entry is None) == (line.related_seq is None)


def canonical(user: str, line: Line) -> bytes:
    """An entry as it is hashed, by docs/formats/hash-chain.md."""
    *plain, at_ms, _, effects = line
    form = ("pedro1", []) if effects is None else ("pedro2", [effects])
    fields = [form[0], user, *plain, *form[1], at_ms]
    fields[fields.index(line.fingerprint)] = line.fingerprint.hex()
    return "\0".join("" if field is None else str(field) for field in fields).encode()
