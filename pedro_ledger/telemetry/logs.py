"""Logging: one line an event, JSON for machines or text for people, the request id on each, never a
secret.
"""

import logging
import logging.config
import re
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, Literal

import orjson
import structlog

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that is being answered."""

_SECRET = (
    "password",
    "authorization",
    "api_key",
    "apikey",
    "secret",
    "token",
    "database_url",
    "direct_url",
    "dsn",
)
_URL_PASSWORD = re.compile(r"(://[^\s:/@]*:)[^\s/@]+@")
Event = MutableMapping[str, Any]


def configure_logs(level: str, log_format: Literal["auto", "json", "console"]) -> None:
    """Send structlog's and the standard library's lines to standard error, in one form."""
    as_text = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_request_id,
        structlog.processors.format_exc_info,  # before `redact`, and never with the frames' variables: these hold keys
        redact,
    ]
    least = logging.getLevelNamesMapping()[level.upper()]
    final: list[Any] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if as_text
        else [structlog.processors.JSONRenderer(serializer=_dumps)]
    )
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(least, logging.WARNING))


def add_request_id(_: Any, __: str, event: Event) -> Event:
    """The request id, where a request is being answered."""
    current = request_id.get()
    if current is not None:
        event.setdefault("request_id", current)
    return event


def redact(_: Any, __: str, event: Event) -> Event:
    """Hide the value of every field whose name says that it is a secret, and the password in every
    URL.
    """
    for name, value in event.items():
        if any(word in name.lower() for word in _SECRET):
            event[name] = "[redacted]"
        elif isinstance(value, str) and "://" in value:
            event[name] = _URL_PASSWORD.sub(r"\1[redacted]@", value)
    return event


def _dumps(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()
