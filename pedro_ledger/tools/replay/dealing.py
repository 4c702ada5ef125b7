"""Who makes which request of a trace that names no users, and what it asks for.

The same seed deals the same, every time.
"""

from bisect import bisect
from itertools import accumulate
from random import Random


class Dealer:
    """Deals requests to users 1 to `users`, the n-th with a weight of 1 / n ** `exponent`: 0 treats
    all alike, 1 is Zipf's law.
    """

    def __init__(self, users: int, exponent: float, seed: int) -> None:
        self._upto = list(accumulate(number**-exponent for number in range(1, users + 1)))
        # Only random() is promised to give the same numbers in every Python; choices() is not.
        self._random = Random(seed).random  # noqa: S311 - repeatable is the point

    def deal(self) -> int:
        """The user of the next request."""
        return min(bisect(self._upto, self._random() * self._upto[-1]), len(self._upto) - 1) + 1
