"""Database URLs as Prisma and libpq write them: each parameter means what it means there, or is
refused by its name.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pedro_ledger.ledger.errors import OperatorError
from pedro_ledger.postgres.tls import SSL_MODES, SYSTEM, VERSIONS, Tls

_AFTER_NETLOC = re.compile("[/?#]")
PRISMAS_OWN = frozenset({"direct", "socket_timeout", "statement_cache_size", "max_idle_connection_lifetime"})
"""What concerns Prisma's own engine alone."""
HONOURED = frozenset(
    {
        "schema", "connection_limit", "pool_timeout", "pgbouncer", "sslaccept",
        "host", "port", "dbname", "user", "password", "passfile", "connect_timeout", "options", "application_name",
        "fallback_application_name", "target_session_attrs", "load_balance_hosts", "krbsrvname", "gsslib",
        "sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "ssl_min_protocol_version", "ssl_max_protocol_version",
    }
)  # fmt: skip
NO_OTHER_VALUE: dict[str, tuple[frozenset[str], str]] = {
    "channel_binding": (
        frozenset({"disable", "prefer"}),
        "cannot be required: leave it out, and write sslmode=verify-full, with which nobody can stand between either",
    ),
    "gssencmode": (frozenset({"disable", "prefer"}), "cannot be required: leave it out, and write sslmode=verify-full"),
    "sslnegotiation": (frozenset({"postgres"}), "is always postgres: leave it out"),
    "sslcertmode": (frozenset({"allow"}), "is always allow: leave it out"),
    "sslsni": (frozenset({"1"}), "is always 1: leave it out"),
    "sslcompression": (frozenset({"0"}), "is always 0: leave it out"),
    "gssdelegation": (frozenset({"0"}), "is always 0: leave it out"),
    "client_encoding": (frozenset({"UTF8", "utf8", "UTF-8", "utf-8"}), "is always UTF8: leave it out"),
}
"""Parameters of libpq's with the values that this client can only have, and what to do about
others.
"""
REFUSED = {
    "service": "is not read: write what the service file says into the URL",
    "servicefile": "is not read: write what the service file says into the URL",
    "hostaddr": "is not supported: write the address as the host, or let the host's name be looked up",
    "sslidentity": "(PKCS#12) is not read: write sslcert and sslkey, as openssl pkcs12 makes them from it",
    "sslcrldir": "is not read: write sslcrl with one file",
    "require_auth": "is not supported: let pg_hba.conf of the server say how to log in",
    "requirepeer": "is not supported: keep the folder of the socket to yourself",
    "replication": "is not for this program",
    "requiressl": "is an old name: write sslmode=require",
    **dict.fromkeys(
        ("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"),
        "is not set: every statement has a time-out of its own; leave it out",
    ),
}
"""Parameters of libpq's and Prisma's that this client cannot honour, and what to do instead."""
SESSION_ATTRS = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
CONNECT_TIMEOUT_S = 5.0
"""How long opening a connection to one host may take, where the URL does not say."""
POOL_TIMEOUT_S = 5.0
"""How long to wait for a pooled connection, where the URL does not say; the client waits
meanwhile.
"""
TIMEOUT_MAX_S = 300
"""The longest of both; Prisma's 0, "no limit", means this: a daemon that waits for ever cannot say
that it does.
"""
APPLICATION_NAME = "pedro_ledger"


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
    tls: Tls = field(default_factory=Tls)
    passfile: str | None = None
    options: str | None = None
    """Settings for the server, as its own command line takes them."""
    target_session_attrs: str | None = None
    """What a server must be to be connected to, of several hosts; one of `SESSION_ATTRS`."""
    load_balance_hosts: bool = False
    """Try the hosts in an order of chance."""
    kerberos: dict[str, str] = field(default_factory=dict, hash=False)
    application_name: str = APPLICATION_NAME

    @property
    def label(self) -> str:
        """The server and database, without credentials, for messages and logs."""
        places = ",".join(
            host if host.startswith("/") else f"{host}:{port}"
            for host, port in zip(self.hosts, self.ports, strict=True)
        )
        return f"{places}/{self.database or ''}"

    @property
    def wants_primary(self) -> bool:
        """Whether a server that cannot be written to is none."""
        return self.target_session_attrs in {"read-write", "primary"}

    def asyncpg_arguments(self, place: int = 0) -> dict[str, Any]:
        """Keyword arguments for `asyncpg.connect` to one of the hosts."""
        return {
            "host": self.hosts[place],
            "port": self.ports[place],
            "user": self.user,
            "password": self.password,
            "database": self.database,
            # What a server must be is asked by whoever connects: asyncpg would ask outside a
            # transaction of ours.
            "target_session_attrs": "any",
            **({} if self.passfile is None else {"passfile": self.passfile}),
            **self.kerberos,
            **self.tls.asyncpg_arguments(),
        }


def parse_database_url(url: str, name: str = "DATABASE_URL") -> DatabaseUrl:
    """A `postgresql://` URL.

    Raises `DatabaseUrlError` with one line that names the setting, and the parameter to blame.
    """
    scheme, _, rest = url.strip().partition("://")
    netloc = _AFTER_NETLOC.split(rest, maxsplit=1)[0]
    try:
        # Without the hosts: several are libpq's own, and newer Pythons take brackets first only.
        parts = urlsplit("postgresql://host" + rest[len(netloc) :])
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise DatabaseUrlError(f"{name} is no URL: write postgresql://user:password@host:5432/database") from None
    if scheme.lower() not in {"postgresql", "postgres"}:
        raise DatabaseUrlError(f"{name} must start with postgresql://")
    options = dict(query)
    _refuse_others(options, name)
    credentials, _, netloc_hosts = netloc.rpartition("@")
    hosts, ports = _places(netloc_hosts, options, name)
    user, _, password = credentials.partition(":")
    if (schema := options.get("schema", "public")) != "public":
        raise DatabaseUrlError(f"{name}: the app's tables must be in the schema public, not {schema}")
    return DatabaseUrl(
        hosts=hosts,
        ports=ports,
        user=options.get("user") or unquote(user) or None,
        password=options.get("password") or unquote(password) or None,
        database=options.get("dbname") or unquote(parts.path.lstrip("/")) or None,
        connection_limit=_count(options, "connection_limit", name),
        pool_timeout_s=_seconds(options, "pool_timeout", name, POOL_TIMEOUT_S),
        connect_timeout_s=_seconds(options, "connect_timeout", name, CONNECT_TIMEOUT_S),
        pgbouncer=_flag(options, "pgbouncer", name),
        tls=_tls(options, name),
        passfile=_file(options, "passfile", name),
        options=options.get("options") or None,
        target_session_attrs=_one_of(options, "target_session_attrs", SESSION_ATTRS, name),
        load_balance_hosts=_one_of(options, "load_balance_hosts", ("disable", "random"), name) == "random",
        kerberos={each: options[each] for each in ("krbsrvname", "gsslib") if options.get(each)},
        application_name=options.get("application_name")
        or options.get("fallback_application_name")
        or APPLICATION_NAME,
    )


def _refuse_others(options: dict[str, str], name: str) -> None:
    for option, value in options.items():
        if option in REFUSED:
            raise DatabaseUrlError(f"{name}: {option} {REFUSED[option]}")
        if option in NO_OTHER_VALUE:
            values, cure = NO_OTHER_VALUE[option]
            if value not in values:
                raise DatabaseUrlError(f"{name}: {option} {cure}")
        elif option not in HONOURED | PRISMAS_OWN:
            raise DatabaseUrlError(f"{name}: the parameter {option} is not known; leave it out")


def _tls(options: dict[str, str], name: str) -> Tls:
    """What the URL says of TLS. Prisma's `sslcert` without a key is libpq's `sslrootcert`."""
    mode = _one_of(options, "sslmode", SSL_MODES, name)
    is_strict = _one_of(options, "sslaccept", ("strict", "accept_invalid_certs"), name) == "strict"
    if is_strict and mode in {None, "require", "prefer"}:
        mode = "verify-full"
    root_option = "sslrootcert" if options.get("sslrootcert") or options.get("sslkey") else "sslcert"
    root = SYSTEM if options.get(root_option) == SYSTEM else _file(options, root_option, name)
    certificate = None if root_option == "sslcert" else _file(options, "sslcert", name)
    tls = Tls(
        mode="verify-full" if root == SYSTEM and mode is None else mode,
        root=root,
        certificate=certificate,
        key=_file(options, "sslkey", name),
        key_password=options.get("sslpassword") or None,
        revoked=_file(options, "sslcrl", name),
        version_min=_one_of(options, "ssl_min_protocol_version", tuple(VERSIONS), name),
        version_max=_one_of(options, "ssl_max_protocol_version", tuple(VERSIONS), name),
    )
    if root == SYSTEM and tls.mode != "verify-full":
        raise DatabaseUrlError(f"{name}: sslrootcert=system needs sslmode=verify-full")
    if tls.key is not None and certificate is None:
        raise DatabaseUrlError(f"{name}: sslkey needs sslcert")
    if tls.key_password is not None and tls.key is None:
        raise DatabaseUrlError(f"{name}: sslpassword needs sslkey")
    for option in (root_option, "sslcrl"):
        if options.get(option) and not tls.is_required:
            raise DatabaseUrlError(
                f"{name}: {option} has no effect with sslmode={mode or 'prefer'}: write sslmode=verify-full"
            )
    _check(tls, root_option, name)
    return tls


def _check(tls: Tls, root_option: str, name: str) -> None:
    """Raises `DatabaseUrlError` for files that hold nothing of use."""
    for option, file in ((root_option, tls.root), ("sslcrl", tls.revoked)):
        if file not in {None, SYSTEM}:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
            except (ssl.SSLError, OSError):
                raise DatabaseUrlError(f"{name}: {option}: {file} holds no certificate that can be read") from None
    if tls.certificate is not None:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_cert_chain(tls.certificate, tls.key, password=tls.key_password or "")
        except (ssl.SSLError, OSError):
            raise DatabaseUrlError(
                f"{name}: sslcert and sslkey are no certificate and its key, or sslpassword does not open it"
            ) from None


def _places(netloc: str, options: dict[str, str], name: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Hosts and ports; parameters beat what stands before them."""
    hosts, ports = _hosts(netloc, name)
    if options.get("host"):
        hosts, ports = _hosts(options["host"], name, socket_port=ports[0])
    if options.get("port"):
        given = tuple(_port(text, name) for text in options["port"].split(","))
        ports = given * len(hosts) if len(given) == 1 else given
        if len(ports) != len(hosts):
            raise DatabaseUrlError(f"{name}: port must be one for all hosts, or one for each")
    return hosts, ports


def _hosts(text: str, name: str, socket_port: int = 5432) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Hosts and ports; `socket_port` is that of a socket folder, whose own text has no place for
    one.
    """
    hosts, ports = [], []
    for place in unquote(text).split(",") if text else ["localhost"]:
        if place.startswith("/"):
            host, port = place, str(socket_port)
        elif place.startswith("["):
            host, end, rest = place[1:].partition("]")
            if not end or (rest and not rest.startswith(":")):
                raise DatabaseUrlError(f"{name}: an IPv6 address stands in brackets, as in [::1]:5432")
            port = rest.lstrip(":") or "5432"
        else:
            host, _, port = place.partition(":")
            port = port or "5432"
        hosts.append(host or "localhost")
        ports.append(_port(port, name))
    return tuple(hosts), tuple(ports)


def _port(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise DatabaseUrlError(f"{name}: {text!r} is no port")
    return int(text)


def _file(options: dict[str, str], option: str, name: str) -> str | None:
    path = options.get(option)
    if not path:
        return None
    if not Path(path).is_file():
        raise DatabaseUrlError(f"{name}: {option}: the file {path} does not exist")
    return path


def _one_of(options: dict[str, str], option: str, values: tuple[str, ...], name: str) -> str | None:
    value = options.get(option)
    if value is not None and value not in values:
        raise DatabaseUrlError(f"{name}: {option} must be one of {', '.join(values)}")
    return value


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
    return _one_of(options, option, ("true", "false"), name) == "true"
