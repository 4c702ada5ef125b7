"""Settings: what is given to a command, then the environment, then a TOML file, then the
defaults.
"""

import os
import re
import tomllib
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pedro_ledger.ledger.errors import OperatorError

PREFIX = "PEDRO_"
UNPREFIXED = ("database_url", "direct_url", "database_replica_url")
RENAMED = {"reports_fold_s": "rollup_interval_s"}
"""Settings that had another name in the version before; the old one is still taken, with a
warning.
"""


OnRenamed = Callable[[str, str], None]
_OF_A_SERVICE = re.compile(
    rf"{PREFIX}(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")
"""As browsers send it: lower case, no path, no slash at the end."""
_PORT_OF_A_SERVICE = re.compile(rf"{PREFIX}(?:\w+_)?PORT")


class SettingsError(OperatorError):
    """A wrong setting; the message is one line that names it."""


def default_data_dir() -> Path:
    """The platform's folder for a user's data.

    Root's home is closed to the user that PostgreSQL runs as, so root's is elsewhere.
    """
    return Path("/var/lib/pedro-ledger") if os.geteuid() == 0 else user_data_path("pedro-ledger", appauthor=False)


class Settings(BaseSettings):
    """Every setting of the daemon. Units come last in the names."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    database_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_URL",
        description="URL of the PostgreSQL server, in Prisma's form; without it the embedded server is used.",
    )
    direct_url: SecretStr | None = Field(
        None,
        validation_alias="DIRECT_URL",
        description="URL of the same server without a pooler in between, for migrations, backups and partitions.",
    )
    database_replica_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_REPLICA_URL",
        description="URL of a streaming replica that answers reports, statements and usage.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    data_dir: Path = Field(
        default_factory=default_data_dir, description="Folder of the embedded server and its API key."
    )
    api_key: SecretStr | None = Field(
        None, min_length=16, description="A key with every scope, beside those in the database."
    )
    allow_owner: bool = Field(
        False, description="Allow a database role that could change or remove entries (the owner, a superuser)."
    )
    keys_refresh_s: float = Field(
        1, gt=0, le=60, description="How often API keys are read again; a revoked key is refused after this time."
    )
    keys_stale_max_s: float = Field(
        5,
        gt=0,
        le=3600,
        description="How long API keys hold while the database cannot be asked about them, before they are refused (503); "
        "PEDRO_API_KEY is not.",
    )
    clerk_jwks_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="URL of Clerk's JWKS; when set, customers' session tokens may read their own data.",
    )
    clerk_issuer: str = Field("", description="The `iss` that session tokens must have; empty: any.")
    clerk_authorized_parties: str = Field(
        "", description="Origins that session tokens may be for (`azp`), separated by commas; empty: any."
    )
    cors_origins: str = Field(
        "",
        description="Origins whose web pages may call from a browser, such as https://app.example.com, separated by commas.",
    )
    rate_limit_key_per_s: float = Field(
        0, ge=0, le=1_000_000, description="Rate limit of one API key: calls a second at each replica; 0: none."
    )
    rate_limit_user_per_s: float = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Rate limit of one user: calls and batched operations a second at each replica; 0: none.",
    )
    rate_limit_burst_s: float = Field(
        10, gt=0, le=3600, description="Burst of the rate limits: what they allow in this time may come at once."
    )
    signup_credits: int = Field(100, ge=0, le=2**31 - 1, description="Credits that a new user is granted.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Minimum log level.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="JSON lines, or text for people; auto: text on a terminal, else JSON."
    )
    access_log: bool = Field(False, description="Log a line for each request.")
    slow_query_ms: int = Field(
        100, ge=1, le=600_000, description="Queries that take longer are logged as slow, without their parameters."
    )
    body_bytes_max: int = Field(1_048_576, ge=1024, le=64 * 1024**2, description="Largest request body, in bytes.")
    body_timeout_s: float = Field(10, gt=0, le=300, description="Time in which a request body must arrive.")
    connections_max: int = Field(10_000, ge=1, le=1_000_000, description="Most connections that may be open at once.")
    mailbox_size_max: int = Field(
        1280, ge=1, le=100_000, description="Most operations that may wait for one user; beyond it they are refused."
    )
    operations_in_flight_max: int = Field(
        20_000, ge=1, le=1_000_000, description="Most operations in flight, of all users; beyond it they are refused."
    )
    bytes_in_flight_max: int = Field(
        64 * 1024**2,
        ge=1024**2,
        le=64 * 1024**3,
        description="Most bytes of large bodies and details in flight, of all users; one user may have a quarter of them.",
    )
    accounts_resident_max: int = Field(100_000, ge=1, le=10_000_000, description="Most accounts kept in memory.")
    account_idle_s: float = Field(
        300, ge=1, le=86_400, description="Time after which an account that nobody uses leaves memory."
    )
    batch_operations_max: int = Field(2000, ge=1, le=10_000, description="Most operations in one commit.")
    batch_bytes_max: int = Field(
        2 * 1024**2, ge=1024, le=256 * 1024**2, description="Bytes of large details with which a commit is full."
    )
    unit_operations_max: int = Field(256, ge=1, le=10_000, description="Most operations of one user in one commit.")
    commit_lanes: int = Field(1, ge=1, le=16, description="Commits that run in parallel.")
    operation_timeout_s: float = Field(
        10, gt=0, le=300, description="Time-out of an operation: it is answered within this time."
    )
    commit_timeout_s: float = Field(
        5, gt=0, le=300, description="Time-out of a commit: after it the outcome is looked up on another connection."
    )
    shutdown_grace_s: float = Field(
        20, gt=0, le=600, description="Time after SIGTERM in which accepted operations are finished."
    )
    pool_size_max: int = Field(
        10,
        ge=1,
        le=1000,
        description="Size of the connection pool for reads; connection_limit in DATABASE_URL overrides it.",
    )
    refusals_kept_days: int = Field(
        30, ge=1, le=3650, description="How long a refusal is repeated under its idempotency key."
    )
    prices_refresh_s: float = Field(
        2, gt=0, le=3600, description="How often prices, plans and operation types are read again."
    )
    replica_lag_max_s: float = Field(
        5, gt=0, le=3600, description="Maximum replication lag; beyond it the primary answers in the replica's place."
    )
    rollup_interval_s: float = Field(
        5, gt=0, le=3600, description="How often queued changes are rolled up for reports."
    )
    checkpoint_every_s: float = Field(
        0,
        ge=0,
        le=31 * 86_400,
        description="How often a checkpoint seals the ledger, by one of the replicas; 0: never.",
    )
    checkpoint_file: Path | None = Field(
        None, description="File to which checkpoints are appended; without it `checkpoints.ndjson` in the data folder."
    )
    checkpoint_key_file: Path | None = Field(
        None, description="File of the key that signs checkpoints; without it `checkpoint-key.pem` in the data folder."
    )
    plan_credits_expire: bool = Field(
        False, description="Let the credits of a paid billing period end with it; otherwise they never end."
    )
    plan_grace_s: int = Field(
        259_200,
        ge=0,
        le=31 * 86_400,
        description="How long credits of a paid period outlast it while the next one is not paid, for late payments.",
    )
    plan_rollover_percent: int = Field(
        0, ge=0, le=100, description="Share of a period's credits that rolls over when the next one is paid; 0: none."
    )
    plan_rollover_cap: int = Field(
        0, ge=0, le=2**31 - 1, description="Most credits of a user that may be rolled over at a time; 0: no such limit."
    )
    plan_rollover_times: int = Field(1, ge=1, le=12, description="How often credits of a paid period may roll over.")
    refund_grace_s: int = Field(
        259_200,
        ge=0,
        le=366 * 86_400,
        description="How long refunded credits of a grant that has ended can be used; 0: they end at once.",
    )

    clerk_webhook_secrets: SecretStr | None = Field(
        None,
        description="Signing secrets of Clerk's webhook (whsec_…), separated by commas; several while one is replaced.",
    )
    asaas_webhook_tokens: SecretStr | None = Field(
        None, description="Access tokens of Asaas's webhook, separated by commas; several while one is replaced."
    )
    webhooks_kept_days: int = Field(
        60,
        ge=15,
        le=3650,
        description="How long ids of webhooks are kept, so that a repeated one has no effect; Asaas repeats for 14 days.",
    )

    @property
    def origins(self) -> list[str]:
        """Those of `cors_origins`."""
        return _listed(self.cors_origins)

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, text: str) -> str:
        for origin in _listed(text):
            if not _ORIGIN.fullmatch(origin):
                raise PydanticCustomError(
                    "origin", "{origin} is no origin: write scheme and host as browsers do, such as https://app.example.com",
                    {"origin": origin},
                )  # fmt: skip
        return text

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What was given to the command (the file's values come in with it, weaker), then the
        environment.
        """
        return init_settings, env_settings


def _ignore(old: str, new: str) -> None:
    pass


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def environment_name(field: str) -> str:
    """The environment variable of a setting."""
    return field.upper() if field in UNPREFIXED else PREFIX + field.upper()


def load_settings(config: Path | None = None, *, on_renamed: OnRenamed = _ignore, **overrides: Any) -> Settings:
    """All settings; `on_renamed` is told the old name of each that has another now, and the new.

    Raises `SettingsError` for a wrong or unknown one, with one line that names it.
    """
    known = {environment_name(field): field for field in Settings.model_fields}
    given = {name: value for name, value in overrides.items() if value is not None}
    injected = set(service_variables())
    for variable in os.environ:
        if (
            variable in injected
            or variable in known
            or not variable.startswith(PREFIX)
            or variable.startswith("PEDRO_TEST_")
        ):
            continue
        name = RENAMED.get(variable.removeprefix(PREFIX).lower())
        if name is None:
            raise SettingsError(f"{variable} is not a setting{_did_you_mean(variable, list(known))}.")
        on_renamed(variable, environment_name(name))
        if environment_name(name) not in os.environ:
            given.setdefault(name, os.environ[variable])
    for name, value in _from_file(config, on_renamed).items():
        if name not in given and (environment_name(name) not in os.environ or environment_name(name) in injected):
            given[name] = value
    if environment_name("port") in injected:
        given.setdefault("port", Settings.model_fields["port"].default)
    try:
        return Settings(**{name.upper() if name in UNPREFIXED else name: value for name, value in given.items()})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = str(first["loc"][0]) if first["loc"] else "settings"
        raise SettingsError(f"{environment_name(field.lower())}: {first['msg']}.") from None


def service_variables() -> list[str]:
    """Environment variables that Kubernetes made for a Service named `pedro` or `pedro-…`; they are
    no settings.

    It puts them into every container of the namespace, and `PEDRO_PORT=tcp://…` is one of them.
    """
    return sorted(
        name
        for name, value in os.environ.items()
        if _OF_A_SERVICE.fullmatch(name)
        or (_PORT_OF_A_SERVICE.fullmatch(name) and value.startswith(("tcp://", "udp://", "sctp://")))
    )


def settings_table() -> list[tuple[str, str, str]]:
    """Every setting: its environment variable, its default, what it is for."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else str(field.default)
        if name == "data_dir":
            default = "the platform's user data folder"
        rows.append((environment_name(name), default, field.description or ""))
    return rows


def _from_file(config: Path | None, on_renamed: OnRenamed) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        values = tomllib.loads(config.read_text())
    except OSError as error:
        raise SettingsError(f"--config {config}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"--config {config} is not TOML: {error}.") from None
    for name in list(values):
        if name in RENAMED:
            on_renamed(f"--config {config}: {name}", RENAMED[name])
            values.setdefault(RENAMED[name], values.pop(name))
        elif name not in Settings.model_fields:
            raise SettingsError(
                f"--config {config}: {name} is not a setting{_did_you_mean(name, list(Settings.model_fields))}."
            )
    return values


def _did_you_mean(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
