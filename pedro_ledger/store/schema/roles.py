"""Two roles: the owner migrates, the app role serves and cannot change or remove what was
written.
"""

from pedro_ledger.ledger.errors import OperatorError
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.failures import unavailable
from pedro_ledger.postgres.queries import SqlFiles

_SQL = SqlFiles("schema")


class RoleError(OperatorError):
    """A role may do too much; the message says what, and what to do."""


async def make_app_role(connection: Connection, name: str) -> bool:
    """Give the role `name`, made where it is missing, what serving needs. As the owner. Returns
    whether it was made.

    Raises `RoleError` for a role that could still change or remove entries, and then changes
    nothing.
    """
    async with connection.transaction():
        made = not await connection.fetchval(_SQL["find_role"], name)
        if made:
            quoted = await connection.fetchval(_SQL["name_role"], name)
            await connection.execute(f"CREATE ROLE {quoted} LOGIN")
        await _grant(connection, name)
        excess = await connection.fetchval(_SQL["find_excess"], name)
        if excess is not None:
            raise RoleError(f"The role {name} {excess}: take that from it, or name another role.")
    return made


async def renew_app_roles(connection: Connection) -> None:
    """Give the roles that serve what new tables ask for. As the owner."""
    for row in await connection.fetch(_SQL["find_app_roles"]):
        async with connection.transaction():
            await _grant(connection, row["name"])


async def require_app_role(database: Database) -> None:
    """Raises `RoleError` where the role that serves could change or remove entries."""
    with unavailable():
        connection = await database.connect()
        try:
            name = await connection.fetchval(_SQL["who_am_i"])
            excess = await connection.fetchval(_SQL["find_excess"], name)
        finally:
            await connection.close(timeout=1)
    if excess is not None:
        raise RoleError(
            f"The role {name} {excess}, so it could change the ledger: run `pedro-ledger migrate --app-role pedro_app`, "
            "name that role in DATABASE_URL and the owner in DIRECT_URL; or set PEDRO_ALLOW_OWNER=true."
        )


async def _grant(connection: Connection, name: str) -> None:
    await connection.fetchval(_SQL["name_role"], name)
    await connection.execute(_SQL["grant_app_role"])
