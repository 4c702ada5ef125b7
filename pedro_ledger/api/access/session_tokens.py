"""Customers' own tokens: session JWTs of Clerk, checked against its published keys (JWKS).

A token proves one thing: who its bearer is. The route says whether customers may call it, and the
authenticator lets it be about that customer alone. The rules are those of
https://clerk.com/docs/guides/sessions/manual-jwt-verification: RS256 only, `exp` and `nbf` with a
little leeway, `iss`, and `azp`, the origin that asked for the token, among those that are allowed.
"""

import asyncio
from collections.abc import Iterable
from time import monotonic
from typing import Any

import aiohttp
import jwt
import orjson
import structlog
from jwt.algorithms import RSAAlgorithm

from pedro_ledger.api.access.api_keys import unauthorized
from pedro_ledger.api.http.caller import Caller
from pedro_ledger.ledger.errors import Unavailable

log = structlog.get_logger(__name__)

LEEWAY_S = 5
KEYS_KEPT_S = 3600.0
"""Keys are read again after this time, so that one that Clerk withdraws does not stay valid."""
REFETCH_AFTER_S = 10.0
"""A token that names an unknown key makes the keys be read again, but no more often than this."""
FETCH_TIMEOUT_S = 5.0
READ_WITHIN_S = 1.0
"""A request whose token names an unknown key waits this long for keys that are being read."""
JWKS_BYTES_MAX = 256 * 1024
TOKEN_LENGTH_MAX = 8 * 1024
KEYS_MAX = 32


def looks_like_a_token(text: str) -> bool:
    """Whether it has the shape of a signed JWT; keys do not."""
    return text.count(".") == 2 and text.startswith("eyJ")


class CustomerTokens:
    """Tells whose a session token is."""

    def __init__(self, *, jwks_url: str, issuer: str | None, authorized_parties: Iterable[str]) -> None:
        self._jwks_url = jwks_url
        self._issuer = issuer
        self._authorized_parties = frozenset(authorized_parties)
        self._keys: dict[str, Any] = {}
        self._read_at = self._tried_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def authenticate(self, token: str) -> Caller:
        """The customer whose token it is.

        Raises the problem 401 `unauthorized`, and `Unavailable` while the keys cannot be read.
        """
        if len(token) > TOKEN_LENGTH_MAX:
            raise unauthorized()
        try:
            header = jwt.get_unverified_header(token)
            key_id = header["kid"]
            if header["alg"] != "RS256" or not isinstance(key_id, str):
                raise unauthorized()
        except (jwt.PyJWTError, KeyError, ValueError, TypeError):
            raise unauthorized() from None
        key = await self._key(key_id)
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                issuer=self._issuer,
                leeway=LEEWAY_S,
                options={
                    "require": ["exp", "nbf", "iat", "sub", *(["iss"] if self._issuer else [])],
                    "verify_aud": False,  # Clerk's session tokens have `azp` instead
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):  # PyJWT lets some types of claims through
            raise unauthorized() from None
        clerk_id, party = claims["sub"], claims.get("azp")
        if not clerk_id or (self._authorized_parties and party not in list(self._authorized_parties)):
            raise unauthorized()
        expires_at_s = float(claims["exp"]) + LEEWAY_S
        return Caller(f"customer:{clerk_id}", frozenset(), expires_at_s=expires_at_s, customer=clerk_id)

    async def close(self) -> None:
        """Read no more."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    async def _key(self, key_id: str) -> Any:
        """The key of this id. Who names a known one waits for nothing, also while keys are read."""
        is_old = monotonic() - self._read_at > KEYS_KEPT_S
        if is_old or key_id not in self._keys:
            reading = self._start_reading()
            if key_id not in self._keys and reading is not None:
                await asyncio.wait({reading}, timeout=READ_WITHIN_S)
        if not self._keys:
            raise Unavailable("The keys of session tokens cannot be read now. Try again shortly.")
        if key_id not in self._keys:
            raise unauthorized()
        return self._keys[key_id]

    def _start_reading(self) -> asyncio.Task[None] | None:
        """The reading that is under way, or a new one; None where the last is too young."""
        if self._reading is None or self._reading.done():
            now = monotonic()
            if now - self._tried_at < REFETCH_AFTER_S:
                return None
            self._tried_at = now
            self._reading = asyncio.create_task(self._read())
        return self._reading

    async def _read(self) -> None:
        try:
            self._keys = _usable(await self._fetch())
            self._read_at = monotonic()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            log.warning("jwks_not_read", url=self._jwks_url, reason=type(error).__name__)

    async def _fetch(self) -> Any:
        timeout = aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(self._jwks_url, allow_redirects=False) as response,
        ):
            response.raise_for_status()
            body = await response.content.read(JWKS_BYTES_MAX + 1)
            while len(body) <= JWKS_BYTES_MAX and not response.content.at_eof():
                body += await response.content.read(JWKS_BYTES_MAX + 1 - len(body))
        if response.status != 200 or len(body) > JWKS_BYTES_MAX:
            raise ValueError("no key set")
        return orjson.loads(body)


def _usable(key_set: Any) -> dict[str, Any]:
    """The RSA keys for signatures in a key set, by id. Raises `ValueError` where it is none."""
    if not isinstance(key_set, dict) or not isinstance(key_set.get("keys"), list):
        raise ValueError("no key set")
    found: dict[str, Any] = {}
    for each in key_set["keys"][:KEYS_MAX]:
        if isinstance(each, dict) and each.get("kty") == "RSA" and each.get("use", "sig") == "sig" and each.get("kid"):
            try:
                found[str(each["kid"])] = RSAAlgorithm.from_jwk(each)
            except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
                continue  # PyJWT raises what its parts raise: a malformed key is no reason to do without the others
    if not found:
        raise ValueError("no usable key")
    return found
