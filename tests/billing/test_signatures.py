"""Signatures and tokens: the published vector, and everything that is nearly right."""

from base64 import b64encode

import pytest

from pedro_ledger.billing.signatures import (
    WINDOW_S,
    NotGenuine,
    asaas_tokens,
    svix_secrets,
    verify_svix,
    verify_token,
)
from pedro_ledger.daemon.webhook_secrets import webhook_secrets
from pedro_ledger.settings import SettingsError, load_settings

# The worked example of Svix's documentation, and the vector of its libraries' tests.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT_S = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
OTHER = "whsec_" + b64encode(bytes(24)).decode()


def verify(**changes: object) -> None:
    given = {
        "secrets": SECRET,
        "event_id": ID,
        "timestamp": str(AT_S),
        "signatures": SIGNATURE,
        "body": BODY,
        "now_s": AT_S,
    }
    given |= changes
    verify_svix(svix_secrets(str(given.pop("secrets"))), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"secrets": f"{OTHER}, {SECRET}"},
        {"secrets": f"{SECRET} {OTHER}"},
        {"signatures": f"v1,{b64encode(bytes(32)).decode()} v2,abc {SIGNATURE}"},
        {"now_s": AT_S + WINDOW_S},
        {"now_s": AT_S - WINDOW_S},
    ],
)
def test_the_published_vector_is_genuine(changes: dict[str, object]) -> None:
    verify(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"secrets": OTHER},
        {"event_id": ID + "x"},
        {"timestamp": str(AT_S + 1)},
        {"body": BODY + b" "},
        {"body": b'{"test":2432232314}'},
        {"signatures": ""},
        {"signatures": SIGNATURE.removeprefix("v1,")},
        {"signatures": SIGNATURE.replace("v1", "v2")},
        {"signatures": SIGNATURE[:-1]},
        {"signatures": SIGNATURE.replace(" ", "") + ","},
        {"signatures": "v1,ünï \udcff v1,\x7f"},
        {"event_id": ""},
        {"event_id": "mşg"},
        {"timestamp": ""},
        {"timestamp": "٣"},
        {"timestamp": f"{AT_S}.0"},
        {"timestamp": f" {AT_S}"},
        {"timestamp": "9" * 5000},
    ],
)
def test_what_is_nearly_right_is_not(changes: dict[str, object]) -> None:
    with pytest.raises(NotGenuine) as error:
        verify(**changes)
    assert error.value.code == "webhook_signature_invalid"


@pytest.mark.parametrize("off_s", [WINDOW_S + 1, -WINDOW_S - 1, 10**9])
def test_the_window_is_five_minutes_both_ways(off_s: int) -> None:
    with pytest.raises(NotGenuine) as error:
        verify(now_s=AT_S + off_s)
    assert error.value.code == "webhook_timestamp_invalid"


def test_any_of_several_tokens_is_genuine_and_nothing_else() -> None:
    tokens = asaas_tokens("first-token-01234567, second-token-0123456")
    for token in ("first-token-01234567", "second-token-0123456"):
        verify_token(tokens, token)
    for token in (
        "",
        "first-token-0123456",
        "first-token-01234567 ",
        "ünï",
        "\udcff",
        "first-token-01234567, second-token-0123456",
    ):
        with pytest.raises(NotGenuine):
            verify_token(tokens, token)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PEDRO_CLERK_WEBHOOK_SECRETS", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("PEDRO_CLERK_WEBHOOK_SECRETS", f"{SECRET},whsec_not*base64"),
        ("PEDRO_CLERK_WEBHOOK_SECRETS", "whsec_c2hvcnQ="),
        ("PEDRO_ASAAS_WEBHOOK_TOKENS", "short"),
        ("PEDRO_ASAAS_WEBHOOK_TOKENS", "ünï-ünï-ünï-ünï-ünï"),
    ],
)
def test_a_wrong_secret_stops_the_start_and_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as error:
        webhook_secrets(load_settings())
    assert str(error.value).startswith(f"{variable}: ")
    assert value not in str(error.value)
