"""Reading accounts for the actors; a user whom the app made is adopted on the way."""

from collections.abc import Sequence

import orjson

from pedro_ledger.ledger.account import AccountQuery, Loaded, Original
from pedro_ledger.ledger.ids import parse_entry_id
from pedro_ledger.ledger.originals import original_of
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.queries import SqlFiles
from pedro_ledger.store.journal.adoption import Adopter
from pedro_ledger.store.journal.rows import Row, account_of, entry_of

_SQL = SqlFiles("journal")
_LOAD = _SQL["load_accounts"]

CLERK_PREFIX = "clerk:"
HOLD_PREFIX = "hold:"


class AccountReader:
    """Loads accounts by ref (`User.id`, or `clerk:` and the Clerk id), many in one query."""

    def __init__(self, database: Database, adopter: Adopter) -> None:
        self._database = database
        self._adopter = adopter

    async def load(self, wanted: Sequence[AccountQuery]) -> dict[str, Loaded]:
        """Accounts by ref, as of one moment; refs of nobody are left out. Raises `Unavailable`."""
        found, unadopted = await self._load(wanted)
        if unadopted and await self._adopter.adopt(sorted(set(unadopted.values()))):
            again, _ = await self._load([want for want in wanted if want.ref in unadopted])
            found |= again
        return found

    async def _load(self, wanted: Sequence[AccountQuery]) -> tuple[dict[str, Loaded], dict[str, str]]:
        """Accounts by ref, and the users without an account by ref."""
        ids = [want.ref for want in wanted if not want.ref.startswith((CLERK_PREFIX, HOLD_PREFIX))]
        holds = [want.ref.removeprefix(HOLD_PREFIX) for want in wanted if want.ref.startswith(HOLD_PREFIX)]
        places = [parse_entry_id(hold) or ("", 0) for hold in holds]
        clerk_ids = [want.ref.removeprefix(CLERK_PREFIX) for want in wanted if want.ref.startswith(CLERK_PREFIX)]
        entries = [(want.ref, seq) for want in wanted for seq in want.original_seqs]
        async with self._database.acquire() as connection:
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
        found: dict[str, Loaded] = {}
        unadopted: dict[str, str] = {}
        for row in rows:
            if row["account"] is None:
                unadopted[row["ref"]] = row["user_id"]
            else:
                originals = orjson.loads(row["originals"]) if row["originals"] else ()
                found[row["ref"]] = Loaded(
                    account_of(orjson.loads(row["account"])),
                    {original["seq"]: _original(original) for original in originals},
                )
        return found, unadopted


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
