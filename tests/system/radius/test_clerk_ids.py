"""A Clerk id that the app gives to another user: from then on, whoever owns it is charged."""

import asyncio

import pytest

from pedro_ledger.postgres.database import Connection, Database
from tests.support.client import Api
from tests.support.ledgers import make_user

OLD, NEW = "clerk:x", "clerk:y"


@pytest.fixture
async def users(api: Api, connection: Connection) -> tuple[str, str]:
    """Two users that the daemon knows by their Clerk ids x and y, with 100 credits each."""
    first, second = "first", "second"
    for user, clerk_id in ((first, "x"), (second, "y")):
        await make_user(connection, user, 100)
        await give(connection, user, clerk_id)
        assert (await api.deduct(f"clerk:{clerk_id}", 1)).status == 201
        assert (await api.grant(user, 1)).status == 201
    return first, second


async def give(connection: Connection, user: str, clerk_id: str) -> None:
    await connection.execute('UPDATE "User" SET "clerkId" = $2 WHERE "id" = $1', user, clerk_id)


async def test_a_clerk_id_that_moved_charges_its_new_owner(
    api: Api, connection: Connection, users: tuple[str, str]
) -> None:
    first, second = users
    await give(connection, first, "elsewhere")
    await give(connection, second, "x")
    assert (await api.deduct("clerk:x", 10)).status == 201
    assert (await api.get("/v1/users/clerk:x/balance")).json["creditsRemaining"] == 90
    assert [await api.balance(user) for user in users] == [100, 90]
    assert (await api.deduct("clerk:y", 1)).code == "user_not_found"
    assert (await api.deduct("clerk:elsewhere", 5)).status == 201
    assert [await api.balance(user) for user in users] == [95, 90]


async def test_two_users_whose_clerk_ids_were_swapped(api: Api, connection: Connection, users: tuple[str, str]) -> None:
    async with connection.transaction():
        for user, clerk_id in ((users[0], "between"), (users[1], "x"), (users[0], "y")):
            await give(connection, user, clerk_id)
    replies = await asyncio.gather(api.deduct("clerk:x", 10), api.deduct("clerk:y", 20), api.deduct(users[0], 3))
    assert [reply.status for reply in replies] == [201] * 3
    assert [await api.balance(user) for user in users] == [77, 90]


async def test_a_clerk_id_that_a_new_user_got_while_the_old_one_keeps_another(
    api: Api, connection: Connection, users: tuple[str, str]
) -> None:
    await give(connection, users[0], "elsewhere")
    await make_user(connection, "heir", 50)
    await give(connection, "heir", "x")
    assert (await api.deduct("clerk:x", 10)).status == 201
    assert [await api.balance(user) for user in (*users, "heir")] == [100, 100, 40]


async def test_a_clerk_id_whose_owner_was_deleted_before_it_was_charged(api: Api, connection: Connection) -> None:
    await make_user(connection, "gone", 0)
    await give(connection, "gone", "x")
    assert (await api.get("/v1/users/clerk:x/balance")).status == 200
    await connection.execute("""DELETE FROM "User" WHERE "id" = 'gone'""")
    assert (await api.deduct("clerk:x", 1)).code == "user_not_found"
    await make_user(connection, "heir", 50)
    await give(connection, "heir", "x")
    assert (await api.deduct("clerk:x", 1)).status == 201
    assert await api.balance("heir") == 49


async def test_a_clerk_id_that_moves_while_its_user_is_adopted(
    api: Api, connection: Connection, database: Database
) -> None:
    """The move is not committed yet when the old owner is touched."""
    await make_user(connection, "cold", 100)
    await give(connection, "cold", "x")
    app = await database.connect()
    move = app.transaction()
    await move.start()
    await give(app, "cold", "elsewhere")
    await make_user(app, "heir", 50)
    await give(app, "heir", "x")
    waiting = asyncio.create_task(api.deduct("clerk:x", 10))
    async with asyncio.timeout(60):
        while api.parts.engine.loader.deferred == 0:
            assert not waiting.done(), "it met the row that the app holds"
            await asyncio.sleep(0.005)
    await move.commit()
    assert (await waiting).status == 201
    assert [await api.balance(user) for user in ("cold", "heir")] == [100, 40]
    await app.close()


async def test_an_app_that_keeps_its_transaction_open_holds_no_lock_of_the_ledger(
    api: Api, connection: Connection, database: Database, users: tuple[str, str]
) -> None:
    app = await database.connect()
    move = app.transaction()
    await move.start()
    await give(app, users[0], "elsewhere")
    assert (await api.grant("clerk:x", 7)).status == 201
    assert (await api.grant(users[0], 7)).status == 201
    await move.commit()
    await app.close()
    assert (await api.deduct("clerk:x", 1)).code == "user_not_found"
    assert await api.balance(users[0]) == 114


async def test_charges_follow_a_clerk_id_that_moves_to_and_fro_under_load(
    api: Api, connection: Connection, users: tuple[str, str]
) -> None:
    """What is asked for between two moves is charged to the owner of that time."""
    for user in users:
        await api.grant(user, 10_000)
    expected = dict.fromkeys(users, 10_100)
    owner, other = users
    for turn in range(20):
        replies = await asyncio.gather(
            *(api.deduct("clerk:x", 1) for _ in range(10)), *(api.deduct(user, 1) for user in users for _ in range(3))
        )
        assert {reply.status for reply in replies} == {201}
        expected[owner] -= 13
        expected[other] -= 3
        flood = [asyncio.create_task(api.deduct("clerk:x", 1, key=f"{turn} {number}")) for number in range(5)]
        async with connection.transaction():
            await give(connection, owner, f"spare {turn}")
            await give(connection, other, "x")
        assert {(await task).status for task in flood} == {201}, "one of the two was charged"
        owner, other = other, owner
    balances = [await api.balance(user) for user in users]
    assert sum(expected.values()) - sum(balances) == 20 * 5
    for user, balance in zip(users, balances, strict=True):
        assert balance <= expected[user]
