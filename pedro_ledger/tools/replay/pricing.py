"""What a request costs when its price comes from its tokens."""

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path

from pedro_ledger.ledger.account import CREDITS_MAX
from pedro_ledger.tools.replay.errors import ReplayStopped, TraceError
from pedro_ledger.tools.replay.trace import TraceLine

LEAST, MOST = Decimal("0.000001"), Decimal(1_000_000)


class TokenPrice:
    """Credits per 1,000 tokens, context and generated together; exact, so that no request is
    rounded up by a float's error.
    """

    def __init__(self, per_1k: str) -> None:
        try:
            value = Decimal(per_1k)
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite() or not LEAST <= value <= MOST:
            raise ReplayStopped(f"--credits-per-1k-tokens {per_1k}: give a number from {LEAST} to {MOST}, such as 0.5")
        self._per_token = Fraction(value) / 1000

    def of(self, tokens: int) -> int:
        """Whole credits for `tokens`: rounded up, at least 1."""
        return max(1, -(-tokens * self._per_token.numerator // self._per_token.denominator))


def credits_asked(file: Path, line: TraceLine, price: TokenPrice | None) -> int | None:
    """Credits that a request asks for: its own, or by its tokens; None leaves it to the feature
    costs.

    Raises `TraceError` for more than fit.
    """
    if line.credits is not None or price is None:
        return line.credits
    credits = price.of(line.context_tokens + line.generated_tokens)
    if credits > CREDITS_MAX:
        raise TraceError(
            f"{file}:{line.number}: would cost {credits} credits, at most {CREDITS_MAX} fit: lower --credits-per-1k-tokens"
        )
    return credits
