"""Whether a delivery is genuine: Svix signatures
(https://docs.svix.com/receiving/verifying-payloads/how-manual), Asaas's token.

Everything is compared as bytes: headers may hold anything, and `compare_digest` raises on text that
is not ASCII.
"""

import binascii
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence

SECRET_PREFIX = "whsec_"  # noqa: S105 - what a secret begins with is no secret
SECRET_BYTES_MIN = 16
TOKEN_LENGTH_MIN = 16
WINDOW_S = 300
"""How far a delivery's timestamp may be from our clock, either way."""

_ID = re.compile(r"[\x21-\x7e]{1,255}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class NotGenuine(Exception):
    """A delivery that does not prove where it comes from.

    `code` is stable; the message says what to look at.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def svix_secrets(text: str) -> tuple[bytes, ...]:
    """The keys in a setting: signing secrets as Clerk shows them, separated by commas or spaces.

    Raises `ValueError`.
    """
    keys = []
    for no, secret in enumerate(_parts(text), 1):
        try:
            key = b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not secret.startswith(SECRET_PREFIX) or len(key) < SECRET_BYTES_MIN:
            raise ValueError(f"secret {no} is not {SECRET_PREFIX} and base64, as the provider's dashboard shows it")
        keys.append(key)
    return tuple(keys)


def asaas_tokens(text: str) -> tuple[bytes, ...]:
    """The tokens in a setting, separated by commas or spaces. Raises `ValueError`."""
    tokens = []
    for no, token in enumerate(_parts(text), 1):
        if len(token) < TOKEN_LENGTH_MIN or not token.isascii() or not token.isprintable():
            raise ValueError(f"token {no} must be at least {TOKEN_LENGTH_MIN} printable ASCII characters")
        tokens.append(token.encode())
    return tuple(tokens)


def verify_svix(
    secrets: Sequence[bytes], event_id: str, timestamp: str, signatures: str, body: bytes, now_s: float
) -> None:
    """Raises `NotGenuine` unless one of `signatures` (the header's value) is by one of `secrets`
    over id, time and body.
    """
    if _ID.fullmatch(event_id) is None or _TIMESTAMP.fullmatch(timestamp) is None:
        raise NotGenuine("webhook_signature_invalid", "svix-id or svix-timestamp is missing or malformed.")
    if abs(now_s - int(timestamp)) > WINDOW_S:
        raise NotGenuine(
            "webhook_timestamp_invalid",
            f"svix-timestamp is more than {WINDOW_S} s from this server's time; send the event again, or mend the clock.",
        )
    signed = b"%s.%s.%s" % (event_id.encode(), timestamp.encode(), body)
    expected = [b"v1," + b64encode(hmac.digest(secret, signed, "sha256")) for secret in secrets]
    given = [each.encode("utf-8", "surrogateescape") for each in signatures.split(" ")]
    # Every pair is compared, so that the time taken does not tell which one was close.
    matches = [hmac.compare_digest(each, valid) for each in given for valid in expected]
    if not any(matches):
        raise NotGenuine(
            "webhook_signature_invalid",
            "No signature in svix-signature is by one of PEDRO_CLERK_WEBHOOK_SECRETS over the body as it was sent.",
        )


def verify_token(tokens: Sequence[bytes], given: str) -> None:
    """Raises `NotGenuine` unless `given` is one of `tokens`."""
    sent = given.encode("utf-8", "surrogateescape")
    matches = [hmac.compare_digest(sent, token) for token in tokens]
    if not any(matches):
        raise NotGenuine(
            "webhook_token_invalid", "asaas-access-token is missing or is none of PEDRO_ASAAS_WEBHOOK_TOKENS."
        )


def _parts(text: str) -> list[str]:
    return [part for part in re.split(r"[\s,]+", text) if part]
