"""TLS to a server, as libpq's parameters say it."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
SYSTEM = "system"
"""libpq's word for the authorities that this machine trusts."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Whether to encrypt, whom to trust, and who the client is.

    Files by their paths, None where the URL names none.
    """

    mode: str | None = None
    root: str | None = None
    """The authorities to trust, or `SYSTEM`."""
    certificate: str | None = None
    key: str | None = None
    key_password: str | None = field(default=None, repr=False)
    revoked: str | None = None
    """A list of certificates that are trusted no more (CRL)."""
    version_min: str | None = None
    version_max: str | None = None

    @property
    def is_required(self) -> bool:
        """Whether a connection without it is none."""
        return self.mode in {"require", "verify-ca", "verify-full"}

    @property
    def trusts_machine(self) -> bool:
        """Whether the machine's own authorities vouch for the server.

        Without a file as well, as Prisma does it, where the user has none in libpq's place either.
        """
        if self.root is None:
            return self.mode in {"verify-ca", "verify-full"} and not (Path.home() / ".postgresql" / "root.crt").exists()
        return self.root == SYSTEM

    def asyncpg_arguments(self) -> dict[str, Any]:
        """Keyword arguments for asyncpg, which reads these parameters from a URL alone.

        Raises `OSError` for a file that can be read no more.
        """
        if self.trusts_machine:
            return {"ssl": self._context()}
        given = {
            "sslrootcert": self.root,
            "sslcert": self.certificate,
            "sslkey": self.key,
            "sslpassword": self.key_password,
            "sslcrl": self.revoked,
            "ssl_min_protocol_version": self.version_min,
            "ssl_max_protocol_version": self.version_max,
        }
        query = {name: value for name, value in given.items() if value is not None}
        if not query:
            return {} if self.mode is None else {"ssl": self.mode}
        if self.mode is not None:
            query["sslmode"] = self.mode
        return {"dsn": f"postgresql://?{urlencode(query)}"}

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.check_hostname = self.mode == "verify-full"
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key, password=self.key_password or "")
        if self.revoked is not None:
            context.load_verify_locations(cafile=self.revoked)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
        if self.version_min is not None:
            context.minimum_version = VERSIONS[self.version_min]
        if self.version_max is not None:
            context.maximum_version = VERSIONS[self.version_max]
        return context
