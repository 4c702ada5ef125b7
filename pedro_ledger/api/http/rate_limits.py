"""Rate limits: so many calls a second, with bursts, for each key and each user.

The generic cell rate algorithm (ITU-T I.371): for each caller it keeps one number, the moment at
which all its calls would have been made at the even pace. It needs no timer and no window, and
forgets nothing early. Each replica has limits of its own.
"""

import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from pedro_ledger.api.http.problems import Problem

IdsOf = Callable[[Collection[str]], Awaitable[Mapping[str, str]]]
KNOWN_MAX = 100_000
"""Callers that are remembered. Of more, those who called longest ago start anew."""


class Pace(NamedTuple):
    """How often: `per_s` calls a second for ever, and `burst` of them at once."""

    per_s: float
    burst: int


class Decision(NamedTuple):
    """Whether one call is allowed, and what is left."""

    allowed: bool
    left: int
    """Calls that could be made at once now."""
    retry_after_s: float
    """When such a call is allowed again; 0 when this one was."""
    full_after_s: float
    """When the whole burst is there again."""


class Limiter:
    """One pace for many callers, each on its own.

    Times are seconds on any monotonic clock.
    """

    def __init__(self, pace: Pace, *, known_max: int = KNOWN_MAX) -> None:
        self.pace = pace
        self._interval_s = 1 / pace.per_s
        self._tolerance_s = pace.burst / pace.per_s
        self._known_max = known_max
        self._done_at: dict[str, float] = {}

    def take(self, caller: str, now: float) -> Decision:
        """Count a call of `caller`, unless it comes too early: then it counts for nothing."""
        done_at = max(self._done_at.pop(caller, now), now)
        after = done_at + self._interval_s
        early_s = after - now - self._tolerance_s
        allowed = early_s <= 1e-9  # sums of intervals are not exact
        # Put last: the first of the dictionary is the one who called longest ago.
        self._done_at[caller] = after if allowed else done_at
        if len(self._done_at) > self._known_max:
            del self._done_at[next(iter(self._done_at))]
        ahead_s = self._done_at[caller] - now
        left = max(0, math.floor((self._tolerance_s - ahead_s) / self._interval_s + 1e-6))
        return Decision(allowed, left, 0.0 if allowed else early_s, ahead_s)


class RateLimits:
    """The limits of this replica, by key and by user; each may be off.

    `ids_of` tells which refs name a user by another name than the id.
    """

    def __init__(self, *, key: Pace | None, user: Pace | None, ids_of: IdsOf) -> None:
        self._key = Limiter(key) if key else None
        self._user = Limiter(user) if user else None
        self._ids_of = ids_of

    async def take_call(self, key_id: str, ref: str | None, now: float) -> dict[str, str]:
        """Count a call of a key, for the user that `ref` names where it is for one. Returns the
        rate-limit headers.

        Raises the problem 429 `rate_limited`.
        """
        counted = []
        if self._key is not None:
            counted.append(_checked("key", self._key, self._key.take(key_id, now)))
        if self._user is not None and ref is not None:
            user = (await self.users_of([ref])).get(ref, ref)
            counted.append(_checked("user", self._user, self._user.take(user, now)))
        return _headers(counted)

    async def users_of(self, refs: Collection[str]) -> Mapping[str, str]:
        """By ref, under which name the users are counted whom refs name otherwise."""
        return {} if self._user is None else await self._ids_of(refs)

    def take_operation(self, user: str, now: float) -> None:
        """Count an operation of a batch. Raises the problem 429 `rate_limited`."""
        if self._user is not None:
            _checked("user", self._user, self._user.take(user, now))


Counted = tuple[str, Limiter, Decision]


def _checked(name: str, limiter: Limiter, decision: Decision) -> Counted:
    counted = (name, limiter, decision)
    if not decision.allowed:
        pace = limiter.pace
        raise Problem(
            429,
            "rate_limited",
            "Too many calls",
            f"At most {pace.per_s:g} calls a second for one {name}, {pace.burst} at once. Nothing was done: call again later.",
            headers={"Retry-After": str(max(1, math.ceil(decision.retry_after_s))), **_headers([counted])},
            limit=name,
        )
    return counted


def _headers(counted: Iterable[Counted]) -> dict[str, str]:
    """The headers of draft-ietf-httpapi-ratelimit-headers-10.

    For each policy its quota and window, what is left of it, and until when.
    """
    policies, states = [], []
    for name, limiter, decision in counted:
        window_s = max(1, math.ceil(limiter.pace.burst / limiter.pace.per_s))
        policies.append(f'"{name}";q={limiter.pace.burst};w={window_s}')
        states.append(f'"{name}";r={decision.left};t={math.ceil(decision.full_after_s)}')
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)} if policies else {}


def rate_limits(*, key_per_s: float, user_per_s: float, burst_s: float, ids_of: IdsOf) -> RateLimits | None:
    """The limits of the settings, each 0 for none. None when all are off.

    A burst is as many calls as `burst_s` seconds allow.
    """

    def pace(per_s: float) -> Pace | None:
        return Pace(per_s, max(1, math.floor(per_s * burst_s))) if per_s else None

    return RateLimits(key=pace(key_per_s), user=pace(user_per_s), ids_of=ids_of) if key_per_s or user_per_s else None
