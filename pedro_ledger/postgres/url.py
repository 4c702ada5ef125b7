"""Database URLs as Prisma writes them: every parameter understood, none passed on that asyncpg would die of."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pedro_ledger.ledger.errors import OperatorError

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

_IGNORED = frozenset(
    {"direct", "socket_timeout", "statement_cache_size", "max_idle_connection_lifetime", "sslidentity", "sslpassword",
     "channel_binding", "gssencmode", "target_session_attrs", "options", "sslnegotiation"}
)  # fmt: skip
_UNDERSTOOD = _IGNORED | {
    "schema", "connection_limit", "pool_timeout", "connect_timeout", "pgbouncer", "sslmode", "sslaccept", "sslcert",
    "sslrootcert", "host", "application_name",
}  # fmt: skip
CONNECT_TIMEOUT_S = 5.0
"""How long opening a connection may take, where the URL does not say."""
POOL_TIMEOUT_S = 5.0
"""How long to wait for a pooled connection, where the URL does not say; the client waits meanwhile."""
TIMEOUT_MAX_S = 300
"""The longest of both; Prisma's 0, "no limit", means this: a daemon that waits for ever cannot say that it does."""


class DatabaseUrlError(OperatorError):
    """A database URL that cannot be used; the message never holds the URL's password."""


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where a server is and how it wants to be spoken to."""

    hosts: tuple[str, ...]
    ports: tuple[int, ...]
    user: str | None
    password: str | None = field(repr=False)
    database: str | None
    schema: str = "public"
    connection_limit: int | None = None
    """Prisma's size of the pool."""
    pool_timeout_s: float = POOL_TIMEOUT_S
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    pgbouncer: bool = False
    """A transaction pooler lies between: nothing may stay prepared, no session setting survives."""
    sslmode: str | None = None
    sslrootcert: str | None = None
    application_name: str = "pedro_ledger"

    @property
    def label(self) -> str:
        """The server and database, without credentials, for messages and logs."""
        places = ",".join(
            host if host.startswith("/") else f"{host}:{port}"
            for host, port in zip(self.hosts, self.ports, strict=True)
        )
        return f"{places}/{self.database or ''}"

    def asyncpg_arguments(self) -> dict[str, Any]:
        """Keyword arguments for `asyncpg.connect` and `create_pool`."""
        several = len(self.hosts) > 1
        arguments: dict[str, Any] = {
            "host": list(self.hosts) if several else self.hosts[0],
            "port": list(self.ports) if several else self.ports[0],
            "user": self.user,
            "password": self.password,
            "database": self.database,
        }
        if self.sslmode is not None:
            arguments["ssl"] = self._ssl()
        return arguments

    def _ssl(self) -> str | ssl.SSLContext:
        assert self.sslmode is not None, "asked for only when set"
        if not self.sslmode.startswith("verify"):
            return self.sslmode
        # Without a file: the machine's own authorities, as Prisma does it. asyncpg would insist on ~/.postgresql/root.crt.
        context = ssl.create_default_context(cafile=self.sslrootcert)
        context.check_hostname = self.sslmode == "verify-full"
        return context


def parse_database_url(url: str, name: str = "DATABASE_URL") -> DatabaseUrl:
    """A `postgresql://` URL, Prisma's parameters included. Raises `DatabaseUrlError` with one line that names the setting."""
    try:
        parts = urlsplit(url)
        netloc_hosts = parts.netloc.rpartition("@")[2]
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise DatabaseUrlError(f"{name} is no URL: write postgresql://user:password@host:5432/database") from None
    if parts.scheme not in {"postgresql", "postgres"}:
        raise DatabaseUrlError(f"{name} must start with postgresql://")
    options = dict(query)
    for option in options:
        if option not in _UNDERSTOOD:
            raise DatabaseUrlError(f"{name}: the parameter {option} is not known; leave it out")
    hosts, ports = _hosts(netloc_hosts, name)
    if options.get("host"):
        hosts, ports = _hosts(options["host"], name, socket_port=ports[0])
    credentials = parts.netloc.rpartition("@")[0]
    user, _, password = credentials.partition(":")
    sslmode = options.get("sslmode")
    if sslmode is not None and sslmode not in SSL_MODES:
        raise DatabaseUrlError(f"{name}: sslmode must be one of {', '.join(SSL_MODES)}")
    if options.get("sslaccept") == "strict" and sslmode in {None, "require", "prefer"}:
        sslmode = "verify-full"
    root = _root_certificate(options, name)
    schema = options.get("schema", "public")
    if schema != "public":
        raise DatabaseUrlError(f"{name}: the app's tables must be in the schema public, not {schema}")
    return DatabaseUrl(
        hosts=hosts,
        ports=ports,
        user=unquote(user) or None,
        password=unquote(password) or None,
        database=unquote(parts.path.lstrip("/")) or None,
        connection_limit=_count(options, "connection_limit", name),
        pool_timeout_s=_seconds(options, "pool_timeout", name, POOL_TIMEOUT_S),
        connect_timeout_s=_seconds(options, "connect_timeout", name, CONNECT_TIMEOUT_S),
        pgbouncer=_flag(options, "pgbouncer", name),
        sslmode=sslmode,
        sslrootcert=root,
        application_name=options.get("application_name", "pedro_ledger"),
    )


def _root_certificate(options: dict[str, str], name: str) -> str | None:
    """The file of the authorities to trust; None for the machine's own (libpq writes those `system`)."""
    root = options.get("sslrootcert") or options.get("sslcert")
    if root in {None, "system"}:
        return None
    if not Path(root).is_file():
        raise DatabaseUrlError(f"{name}: the certificate file {root} does not exist")
    try:
        ssl.create_default_context(cafile=root)
    except (ssl.SSLError, OSError):
        raise DatabaseUrlError(f"{name}: {root} holds no certificate that can be read") from None
    return root


def _hosts(text: str, name: str, socket_port: int = 5432) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Hosts and ports; `socket_port` is that of a socket folder, whose own text has no place for one."""
    hosts, ports = [], []
    for place in unquote(text).split(",") if text else ["localhost"]:
        if place.startswith("/"):
            host, port = place, str(socket_port)
        elif place.startswith("["):
            host, _, rest = place[1:].partition("]")
            port = rest.lstrip(":") or "5432"
        else:
            host, _, port = place.partition(":")
            port = port or "5432"
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise DatabaseUrlError(f"{name}: {port!r} is no port")
        hosts.append(host)
        ports.append(int(port))
    return tuple(hosts), tuple(ports)


def _count(options: dict[str, str], option: str, name: str) -> int | None:
    text = options.get(option)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1000):
        raise DatabaseUrlError(f"{name}: {option} must be a whole number from 1 to 1000")
    return int(text)


def _seconds(options: dict[str, str], option: str, name: str, otherwise: float) -> float:
    text = options.get(option)
    if text is None:
        return otherwise
    if not (text.isascii() and text.isdigit() and int(text) <= TIMEOUT_MAX_S):
        raise DatabaseUrlError(f"{name}: {option} must be a whole number of seconds from 0 to {TIMEOUT_MAX_S}")
    return float(int(text) or TIMEOUT_MAX_S)


def _flag(options: dict[str, str], option: str, name: str) -> bool:
    text = options.get(option, "false")
    if text not in {"true", "false"}:
        raise DatabaseUrlError(f"{name}: {option} must be true or false")
    return text == "true"
