"""API keys: the ring of those that are valid now, by their SHA-256."""

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from math import inf
from secrets import token_urlsafe
from time import monotonic, time

from aiohttp import web

from pedro_ledger.api.http.caller import Caller
from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.scopes import Scope
from pedro_ledger.ledger.errors import Unavailable


def new_key() -> str:
    """256 bits of chance. Whoever makes it shows it once; only its digest is kept."""
    return "pedro_" + token_urlsafe(32)


class KeyRing:
    """The keys that are valid now, by the SHA-256 of each.

    A lookup by digest leaks nothing of the key to a timing attack.

    `fixed` keys hold for ever, the others for `fresh_for_s` after they were read: later, one of
    them may have been revoked.
    """

    def __init__(self, fixed: Mapping[bytes, Caller], *, clock: Callable[[], float] = monotonic) -> None:
        self._fixed = dict(fixed)
        self._callers = dict(fixed)
        self._clock = clock
        self._read_at = clock()
        self.fresh_for_s = inf
        self._used_at_s: dict[str, float] = {}

    @staticmethod
    def digest(key: str) -> bytes:
        """What is kept of a key."""
        return sha256(key.encode("utf-8", "surrogateescape")).digest()

    @classmethod
    def of_one(cls, key: str, key_id: str, scopes: Iterable[Scope] = tuple(Scope)) -> "KeyRing":
        """A ring with one key that stays valid."""
        return cls({cls.digest(key): Caller(key_id, frozenset(scopes))})

    def now(self) -> float:
        """The moment, by the ring's own clock."""
        return self._clock()

    def replace(self, callers: Mapping[bytes, Caller], *, read_at: float | None = None) -> None:
        """Take these keys beside the fixed ones, and no others any more; they held at `read_at`, by
        the ring's clock, or now.
        """
        self._callers = {**callers, **self._fixed}
        self._read_at = self._clock() if read_at is None else read_at

    @property
    def stale_s(self) -> float:
        """For how long its keys have not been known to hold; 0 while they are."""
        return max(0.0, self._clock() - self._read_at - self.fresh_for_s)

    def take_uses(self) -> dict[str, float]:
        """When each key was last used since this was asked the last time, in seconds since 1970."""
        taken, self._used_at_s = self._used_at_s, {}
        return taken

    def put_back(self, uses: Mapping[str, float]) -> None:
        """What was taken could not be written: it is taken again, unless the key was used since."""
        self._used_at_s = {**uses, **self._used_at_s}

    def authenticate(self, request: web.BaseRequest) -> Caller:
        """The caller of a request.

        Raises the problem 401 `unauthorized`, and `Unavailable` for a key that may have been
        revoked.
        """
        if key := bearer(request):
            digest = self.digest(key)
            caller = self._callers.get(digest)
            now_s = time()
            if caller is not None and now_s < caller.expires_at_s:
                if digest not in self._fixed and self.stale_s:
                    raise Unavailable(
                        "Whether this API key still holds cannot be asked now. Try again shortly.",
                        reason="keys_not_refreshed",
                    )
                self._used_at_s[caller.key_id] = now_s
                return caller
        raise unauthorized()


def bearer(request: web.BaseRequest) -> str:
    """What stands after `Bearer` in the request's header; empty where nothing does."""
    header = request.headers.get("Authorization", "")
    return header[7:].strip() if header[:7].lower() == "bearer " else ""


def unauthorized() -> Problem:
    """The problem for no valid key. It does not say what is wrong with the key that was sent."""
    return Problem(
        401,
        "unauthorized",
        "No valid key",
        "Send a valid key as: Authorization: Bearer <key>.",
        headers={"WWW-Authenticate": 'Bearer realm="pedro-ledger"'},
    )
