"""Reading accounts for the actors, and having users adopted whom the app made."""

from collections.abc import Mapping, Sequence

import asyncpg
import orjson

from pedro_ledger.ledger.account import AccountQuery, Loaded, Original, Unadopted
from pedro_ledger.ledger.errors import LedgerError
from pedro_ledger.ledger.ids import parse_entry_id
from pedro_ledger.ledger.meters import Meter, MeterQuery
from pedro_ledger.ledger.originals import original_of
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.failures import serving_users
from pedro_ledger.postgres.kept_connections import KeptConnections
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.postgres.sessions import HOT_SETTINGS, SERVING
from pedro_ledger.store.journal.adoption import Adopter
from pedro_ledger.store.journal.rows import Row, account_of, entry_of

_SQL = SqlFiles("journal")
_LOAD = _SQL["load_accounts"]

CLERK_PREFIX = "clerk:"
HOLD_PREFIX = "hold:"


LOADING = SERVING._replace(statement_s=2)
"""A load that takes longer is tried again on another connection; callers can wait for two."""


class AccountReader:
    """Loads accounts by ref (`User.id`, or `clerk:` and the Clerk id), many in one query, and has
    users adopted; over connections of its own.
    """

    def __init__(self, database: Database, adopter: Adopter) -> None:
        self._connections = KeptConnections(database, HOT_SETTINGS, LOADING)
        self._adopter = adopter

    async def load(self, wanted: Sequence[AccountQuery]) -> dict[str, Loaded | Unadopted]:
        """Accounts by ref, as of one moment; refs of nobody are left out.

        Raises `Unavailable` and `NotServed`.
        """
        ids = [want.ref for want in wanted if not want.ref.startswith((CLERK_PREFIX, HOLD_PREFIX))]
        holds = [want.ref.removeprefix(HOLD_PREFIX) for want in wanted if want.ref.startswith(HOLD_PREFIX)]
        places = [parse_entry_id(hold) or ("", 0) for hold in holds]
        clerk_ids = [want.ref.removeprefix(CLERK_PREFIX) for want in wanted if want.ref.startswith(CLERK_PREFIX)]
        entries = [(want.ref, seq) for want in wanted for seq in want.original_seqs]
        with serving_users():
            async with self._connections.borrowed() as connection:
                rows = await connection.fetch(
                    _LOAD,
                    ids,
                    clerk_ids,
                    [user for user, _ in entries],
                    [seq for _, seq in entries],
                    holds,
                    [tag for tag, _ in places],
                    [seq for _, seq in places],
                )
                # After the accounts: whoever decides on a sum that is newer than its account finds
                # at the commit that the account has moved on.
                meters = await read_meters(connection, [(want.ref, each) for want in wanted for each in want.meters])
        return {row["ref"]: _found(row, meters.get(row["ref"], ())) for row in rows}

    async def adopt(self, users: Mapping[str, str]) -> dict[str, Loaded | Unadopted | LedgerError]:
        """Open accounts for users who have none, `users` by ref; see `Adopter.adopt`.

        They are found by their refs again afterwards: a Clerk id may have moved to another user.
        Who is no user is left out, as in `load`.
        """
        left_out = await self._adopter.adopt(list(dict.fromkeys(users.values())))
        found: dict[str, Loaded | Unadopted | LedgerError] = {}
        for ref, what in (await self.load([AccountQuery(ref, ()) for ref in users])).items():
            if not isinstance(what, Unadopted) or what.user_id != users[ref]:
                found[ref] = what
            elif what.user_id in left_out:
                found[ref] = left_out[what.user_id]
        return found

    def close(self) -> None:
        """End the idle connections."""
        self._connections.close()
        self._adopter.close()


def _found(row: asyncpg.Record, meters: Sequence[Meter]) -> Loaded | Unadopted:
    if row["account"] is None:
        return Unadopted(row["user_id"])
    originals = orjson.loads(row["originals"]) if row["originals"] else ()
    return Loaded(
        account_of(orjson.loads(row["account"])),
        {original["seq"]: _original(original) for original in originals},
        meters,
    )


async def read_meters(connection: Connection, asked: Sequence[tuple[str, MeterQuery]]) -> dict[str, list[Meter]]:
    """What users spent in windows, from their entries, by `User.id`."""
    if not asked:
        return {}
    rows = await connection.fetch(
        _SQL["count_spent"],
        [user for user, _ in asked],
        [query.start_ms for _, query in asked],
        [query.end_ms for _, query in asked],
        [query.counts.operation_type for _, query in asked],
        [query.counts.on_behalf_of for _, query in asked],
    )
    found: dict[str, list[Meter]] = {}
    for (user, query), row in zip(asked, rows, strict=True):
        found.setdefault(user, []).append(Meter(*query.counts, row["start_ms"], row["spent"]))
    return found


async def try_loading(connection: Connection) -> None:
    """Load no account, which fails where none could be loaded."""
    await connection.fetch(_LOAD, [], [], [], [], [], [], [])


def _original(row: Row) -> Original | None:
    if row["id"] is None:
        return None
    if row["entry"] is not None:
        return original_of(
            entry_of(row["entry"]),
            [entry_of(each) for each in row["related"] or ()],
            [entry_of(each) for each in row["grants"] or ()],
        )
    return Original(
        row["seq"],
        row["id"],
        row["kind"],
        row["operation_type"],
        row["credits_used"],
        row["credits_refunded"],
    )
