"""The bytes that callers make the daemon keep: large bodies while they arrive, and the large
details of operations in flight.

What is small is bounded by the number of operations and costs nothing here.
"""

from collections.abc import Callable
from sys import getsizeof

from pedro_ledger.engine.submission import Answer, InFlightCounter
from pedro_ledger.ledger.errors import Overloaded
from pedro_ledger.ledger.operations import Keyless, Operation

LARGE = 1024
"""Bytes of a body, or characters of details, up to which they are not counted."""
HOLDER_SHARE = 0.25
"""Of the budget, for one user's operations in flight; and for all bodies of callers without a key.
"""
PUBLIC = ""
"""The holder of what callers without a key send; no user's name is empty."""


class ByteBudget:
    """Bounds the bytes that are kept at once.

    Whoever comes while nobody keeps anything is always let in, so that nothing is refused for ever.
    """

    def __init__(self, bytes_max: int, on_refused: Callable[[str], None] = lambda reason: None) -> None:
        self.bytes_max = bytes_max
        self.in_use = 0
        self._on_refused = on_refused
        self._holder_max = int(bytes_max * HOLDER_SHARE)
        self._by_holder: dict[str, int] = {}

    def hold(self, holder: str | None) -> "HeldBytes":
        """Nothing yet, for `holder` to grow; None is held to no share of its own."""
        return HeldBytes(self, holder)

    def _take(self, held: "HeldBytes", more: int) -> None:
        if self.in_use > held.size and self.in_use + more > self.bytes_max:
            self._on_refused("bytes")
            raise Overloaded("Too many bytes are in flight. Try again shortly.", limit="bytes")
        holder = held.holder
        if holder is not None:
            kept = self._by_holder.get(holder, 0)
            if kept > held.size and kept + more > self._holder_max:
                self._on_refused("bytes")
                raise Overloaded(
                    f"{kept} bytes of this user's operations are in flight already. Send fewer at once.",
                    limit="user_bytes",
                )
            self._by_holder[holder] = kept + more
        self.in_use += more
        held.size += more

    def _give_back(self, held: "HeldBytes") -> None:
        self.in_use -= held.size
        if held.holder is not None and held.size:
            left = self._by_holder[held.holder] - held.size
            if left:
                self._by_holder[held.holder] = left
            else:
                del self._by_holder[held.holder]
        held.size = 0


class HeldBytes:
    """What one body or one operation takes of the budget."""

    __slots__ = ("_budget", "holder", "size")

    def __init__(self, budget: ByteBudget, holder: str | None) -> None:
        self._budget = budget
        self.holder = holder
        self.size = 0

    def grow_to(self, size: int) -> None:
        """Keep `size` bytes in all. Raises `Overloaded`, and then keeps as many as before."""
        if size > self.size:
            self._budget._take(self, size - self.size)

    def release(self) -> None:
        """Keep nothing any more."""
        self._budget._give_back(self)


class LargeOperation:
    """Counts an operation in flight for somebody else, and gives its bytes back once it is
    answered.
    """

    __slots__ = ("_counter", "held")

    def __init__(self, counter: InFlightCounter, held: HeldBytes) -> None:
        self._counter = counter
        self.held = held

    def on_answered(self, operation: Operation | Keyless, answer: Answer) -> None:
        """The operation has its answer."""
        self.held.release()
        self._counter.on_answered(operation, answer)


def large_bytes(operation: Operation | Keyless) -> int:
    """What the details of an operation take in memory, in bytes; 0 where they are small.

    It may be four times their length: one character beyond U+FFFF makes all of them that wide.
    """
    details = getattr(operation, "details", None)
    return getsizeof(details) if details is not None and len(details) > LARGE else 0
