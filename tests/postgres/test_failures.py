"""Every row of the table from SQLSTATE to what follows, with the error as a real server reports
it.
"""

import inspect
from collections.abc import AsyncIterator

import asyncpg
import pytest

from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.decide import Facts
from pedro_ledger.ledger.errors import NotCommitted, OperationRejected, OutcomeUnknown, SchemaChanged, Unavailable
from pedro_ledger.ledger.operations import Deduct
from pedro_ledger.ledger.units import APPLIED, Unit
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.postgres.failures import TABLE, Follows, Row, commit_failure, follows
from pedro_ledger.store.app.users import UserStore
from pedro_ledger.store.journal.commit import BatchWriter
from tests.support.ledgers import account_of

AT_MS = 1_795_000_000_000
TRIGGER = """
CREATE FUNCTION app_says_no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NEW; END $$;
CREATE TRIGGER app_says_no BEFORE INSERT ON "UsageHistory" FOR EACH ROW EXECUTE FUNCTION app_says_no();
"""


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[BatchWriter]:
    writer = BatchWriter(database, commit_timeout_s=5)
    yield writer
    await writer.close()


@pytest.fixture
async def account(database: Database) -> Account:
    user, _ = await UserStore(database).upsert("clerk", None, None, signup_credits=100, actor="test")
    return await account_of(database, user)


def spend(account: Account, *, details: str | None = '{"a": 1}', kind: str = "AI_TEXT_CHAT") -> Unit[None]:
    unit: Unit[None] = Unit(account, Facts(), AT_MS)
    unit.add(None, Deduct("k", "test", kind, 1, details))
    unit.seal()
    return unit


async def failure_of(writer: BatchWriter, unit: Unit[None]) -> NotCommitted:
    with pytest.raises(NotCommitted) as failure:
        await writer.commit([unit])
    return failure.value


def has_row(sqlstate: str) -> bool:
    return any(sqlstate.startswith(row.sqlstate) for row in TABLE)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.sqlstate)
async def test_what_follows_from_each_row(
    row: Row, connection: Connection, writer: BatchWriter, account: Account
) -> None:
    sqlstate = row.sqlstate if len(row.sqlstate) == 5 else f"{row.sqlstate}999"
    await connection.execute(TRIGGER.format(body=f"RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'"))
    failure = await failure_of(writer, spend(account))
    told = {
        Follows.REJECTED: (True, OperationRejected),
        Follows.SCHEMA: (True, SchemaChanged),
        Follows.DAMAGE: (True, Unavailable),
        Follows.SERVER: (False, type(None)),
    }[row.follows]
    assert (failure.poisoned, type(failure.error)) == told
    assert sqlstate in str(failure)
    if row.follows in {Follows.SCHEMA, Follows.DAMAGE}:
        assert failure.error is not None
        assert failure.error.facts["outcome"] == "not_applied"
    await connection.execute('DROP TRIGGER app_says_no ON "UsageHistory"')
    assert await writer.commit([spend(account)]) == [APPLIED]


def test_every_class_of_errors_that_the_driver_knows_has_a_row() -> None:
    known = {
        kind.sqlstate
        for _, kind in inspect.getmembers(asyncpg.exceptions, inspect.isclass)
        if getattr(kind, "sqlstate", None)
    }
    succeeded = {"00", "01", "02"}
    assert {sqlstate for sqlstate in known if not has_row(sqlstate) and sqlstate[:2] not in succeeded} == set()


async def test_an_sqlstate_of_the_apps_own_is_the_apps_no(
    connection: Connection, writer: BatchWriter, account: Account
) -> None:
    await connection.execute(TRIGGER.format(body="RAISE EXCEPTION 'no' USING ERRCODE = 'APP01'"))
    failure = await failure_of(writer, spend(account))
    assert (failure.poisoned, type(failure.error)) == (True, OperationRejected)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ('ALTER TABLE "UsageHistory" ADD "x" text NOT NULL', 'requires the column "x"'),
        ('ALTER TABLE "UsageHistory" RENAME "creditsUsed" TO "used"', '"creditsUsed"'),
        ('ALTER TABLE "CreditBalance" RENAME "creditsRemaining" TO "credits"', "creditsRemaining"),
        ('ALTER TABLE "UsageHistory" RENAME TO "Usage"', "UsageHistory"),
        ('ALTER TABLE "UsageHistory" ADD UNIQUE ("creditBalanceId", "operationType")', "creditBalanceId"),
        ('ALTER TABLE "UsageHistory" ADD CONSTRAINT "x" FOREIGN KEY ("id") REFERENCES "User" NOT VALID', '"x"'),
        ("CREATE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; "
         'CREATE TRIGGER gone BEFORE UPDATE ON "CreditBalance" FOR EACH ROW EXECUTE FUNCTION gone()', "a trigger"),
    ],
)  # fmt: skip
async def test_what_the_app_changes_is_named(
    change: str, told: str, connection: Connection, writer: BatchWriter, account: Account
) -> None:
    before = account
    if "UNIQUE" in change:
        first = spend(account)
        assert await writer.commit([first]) == [APPLIED]
        before = first.after
    await connection.execute(change)
    unit: Unit[None] = Unit(before, Facts(), AT_MS)
    unit.add(None, Deduct("other", "test", "AI_TEXT_CHAT", 1))
    unit.seal()
    failure = await failure_of(writer, unit)
    assert isinstance(failure.error, SchemaChanged)
    assert told in failure.error.detail


async def test_what_the_caller_can_change_is_the_callers(
    connection: Connection, writer: BatchWriter, account: Account
) -> None:
    await connection.execute('ALTER TABLE "UsageHistory" ALTER "details" SET NOT NULL, ADD CHECK ("creditsUsed" > 1)')
    for unit in (spend(account, details=None), spend(account), spend(account, kind="NO_SUCH_TYPE")):
        failure = await failure_of(writer, unit)
        assert (failure.poisoned, type(failure.error)) == (True, OperationRejected)


async def test_a_value_too_large_for_an_index_of_the_apps_is_the_callers(
    connection: Connection, writer: BatchWriter, account: Account
) -> None:
    await connection.execute('CREATE INDEX ON "UsageHistory" ("details")')
    long = '{"a": "' + "".join(chr(97 + i * i % 26) + str(i) for i in range(9000)) + '"}'
    failure = await failure_of(writer, spend(account, details=long))
    assert "(54000)" in str(failure)
    assert failure.poisoned


def test_only_an_error_of_the_statement_itself_is_certain() -> None:
    assert isinstance(commit_failure(asyncpg.InterfaceError("closed")), OutcomeUnknown)
    assert isinstance(commit_failure(TimeoutError()), OutcomeUnknown)
    assert isinstance(commit_failure(asyncpg.AdminShutdownError("x")), OutcomeUnknown)
    assert isinstance(commit_failure(asyncpg.UniqueViolationError("x")), OutcomeUnknown), "without its severity"


def test_the_longer_row_goes_first() -> None:
    assert follows(asyncpg.CheckViolationError("x")) is Follows.REJECTED
    assert follows(asyncpg.NotNullViolationError("x")) is Follows.SCHEMA
    assert follows(asyncpg.RaiseError("x")) is Follows.REJECTED
    assert follows(asyncpg.AssertError("x")) is Follows.SCHEMA
