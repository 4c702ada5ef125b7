"""The secrets by which webhooks prove themselves, read from the settings."""

from collections.abc import Callable
from typing import NamedTuple

from pydantic import SecretStr

from pedro_ledger.billing.signatures import asaas_tokens, svix_secrets
from pedro_ledger.settings import Settings, SettingsError, environment_name


class WebhookSecrets(NamedTuple):
    """What is compared with what deliveries carry; several of a provider while one is replaced."""

    clerk: tuple[bytes, ...]
    asaas: tuple[bytes, ...]


def webhook_secrets(settings: Settings) -> WebhookSecrets:
    """Raises `SettingsError` for what cannot be a secret, naming the setting and never the
    secret.
    """
    return WebhookSecrets(
        _parsed("clerk_webhook_secrets", settings.clerk_webhook_secrets, svix_secrets),
        _parsed("asaas_webhook_tokens", settings.asaas_webhook_tokens, asaas_tokens),
    )


def _parsed(name: str, given: SecretStr | None, parse: Callable[[str], tuple[bytes, ...]]) -> tuple[bytes, ...]:
    try:
        return parse("" if given is None else given.get_secret_value())
    except ValueError as error:
        raise SettingsError(f"{environment_name(name)}: {error}.") from None
