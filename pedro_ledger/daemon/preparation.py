"""What is done with a database before it is served.

Nothing, where it is of others and nobody migrated it.
"""

import structlog

from pedro_ledger.daemon.databases import Databases
from pedro_ledger.ledger.errors import OperatorError
from pedro_ledger.settings import Settings
from pedro_ledger.store.schema.migrations import migrate
from pedro_ledger.store.schema.roles import require_app_role
from pedro_ledger.store.schema.standing import read_standing

log = structlog.get_logger(__name__)


class NotPrepared(OperatorError):
    """The database is not to be served as it is; the message says what to run."""


async def prepare(databases: Databases, settings: Settings) -> None:
    """See that the ledger is there and up to date, and that the role may not rewrite it.

    On the embedded server, and in a database without users whose owner serves, what is missing is
    made; every other database is the operators' to migrate. Raises `NotPrepared`, `NotCurrent` or
    `RoleError` before anything is changed.
    """
    if not databases.is_embedded:
        await _check(databases, settings)
    for step in await migrate(databases.direct):
        log.info("migrated", migration=step.migration.name, adopted=step.adopted)


async def _check(databases: Databases, settings: Settings) -> None:
    standing = await read_standing(databases.direct)
    label = databases.direct.url.label
    if standing.has_ledger:
        if not settings.allow_owner:
            await require_app_role(databases.primary)
        standing.require_current(label)
    elif standing.has_users:
        raise NotPrepared(
            f"The database {label} holds users and no ledger: run pedro-ledger migrate, which takes over their credits "
            "(--plan says what the app can no longer do then); pedro-ledger leave takes it back."
        )
    elif not settings.allow_owner:
        raise NotPrepared(
            f"The database {label} has no ledger yet, and who makes it owns it: run pedro-ledger migrate --app-role pedro_app, "
            "name that role in DATABASE_URL and the owner in DIRECT_URL; or set PEDRO_ALLOW_OWNER=true."
        )
