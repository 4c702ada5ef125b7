"""Counts of tokens, and what they cost: whole credits per million, added up in millionths of a
credit and rounded up once.
"""

from typing import NamedTuple

MILLION = 1_000_000
COUNT_MAX = 10**9
"""Of each kind; more in one request is a mistake."""
MICRO_MAX = 2**62
"""Millionths that a hold keeps at most: JSON readers take no more than 64 bits."""


class Tokens(NamedTuple):
    """Disjoint counts: a token is counted in one of them. Reasoning counts as output."""

    uncached_input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0


class TokenPrice(NamedTuple):
    """Whole credits per million tokens of each kind."""

    uncached_input: int
    output: int
    cached_input: int | None = None
    """None: as uncached."""
    cache_write: int | None = None
    """None: as uncached."""
    minimum: int = 0
    """Credits that an operation, or a hold in all, costs at least."""

    def micro(self, tokens: Tokens) -> int:
        """What tokens cost in millionths of a credit, before rounding."""
        cached = self.uncached_input if self.cached_input is None else self.cached_input
        write = self.uncached_input if self.cache_write is None else self.cache_write
        return (
            tokens.uncached_input * self.uncached_input
            + tokens.cached_input * cached
            + tokens.cache_write * write
            + tokens.output * self.output
        )

    def credits(self, micro: int) -> int:
        """Millionths as credits: rounded up, and at least the minimum; nothing costs nothing."""
        return max(self.minimum, -(-micro // MILLION)) if micro else 0

    def part(self, before: int, added: int) -> int:
        """Credits of `added` millionths after `before` ones were paid for: in any number of parts,
        the sum costs what it does at once.
        """
        return max(0, self.credits(before + added) - self.credits(before))
