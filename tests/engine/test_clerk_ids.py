"""A user's Clerk id changes while operations are on their way: what names it is for whoever owns it
now, and nothing is charged twice.
"""

import asyncio
from collections.abc import Callable, Sequence

from pedro_ledger.ledger.account import CLERK_MOVE, Account
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.errors import NotCommitted, OutcomeUnknown, SchemaChanged
from pedro_ledger.ledger.units import Outcome, Replayed, Stale, Stored
from tests.engine.fakes import AnyUnit, Store, deduct, engine_on

Script = Callable[[Sequence[AnyUnit]], list[Outcome]]


def moves(store: Store, user: str, clerk_id: str, to: str) -> Script:
    """A commit that finds the Clerk id of `user` given to another."""

    def script(units: Sequence[AnyUnit]) -> list[Outcome]:
        store.owners[f"clerk:{clerk_id}"] = to
        return [Stale(moved(store, user)) if unit.user_id == user else Stale(unit.before) for unit in units]

    return script


def moved(store: Store, user: str) -> Account:
    account = store._account(user)
    store.accounts[user] = account._replace(revision=account.revision + CLERK_MOVE)
    return store.accounts[user]


def charged(store: Store) -> dict[str, list[str]]:
    """The keys that were applied, by user."""
    return {
        user: [key for batch in store.applied for unit in batch if unit.user_id == user for key in keys_of(unit)]
        for user in {unit.user_id for batch in store.applied for unit in batch}
    }


def keys_of(unit: AnyUnit) -> list[str]:
    return [decided.key for _, decided in unit.decided if isinstance(decided, Entry)]


async def test_what_names_a_clerk_id_that_moved_goes_to_its_owner_and_the_rest_stays_in_order() -> None:
    store = Store()
    store.owners = {"clerk:x": "u"}
    async with engine_on(store) as engine:
        assert (await engine.submit("clerk:x", deduct("0"))).receipt is not None
        store.script = [moves(store, "u", "x", "v")]
        refs = ["clerk:x", "u", "clerk:x", "u", "clerk:x", "v"]
        answers = await asyncio.gather(*(engine.submit(ref, deduct(str(no))) for no, ref in enumerate(refs, 1)))
        assert all(answer.receipt is not None for answer in answers)
        assert (await engine.submit("clerk:x", deduct("7"))).receipt is not None
    keys = charged(store)
    assert keys["u"] == ["0", "2", "4"]
    assert [key for key in keys["v"] if key != "6"] == ["1", "3", "5", "7"]


async def test_a_key_of_the_former_owner_is_not_repeated_to_the_new_one() -> None:
    store = Store()
    store.owners = {"clerk:x": "u"}
    async with engine_on(store) as engine:
        receipt = (await engine.submit("clerk:x", deduct("k"))).receipt
        assert receipt is not None
        entry = store.applied[0][0].decided[0][1]
        assert isinstance(entry, Entry)

        def script(units: Sequence[AnyUnit]) -> list[Outcome]:
            store.owners["clerk:x"] = "v"
            return [Replayed(moved(store, "u"), {"k": Stored(entry.fingerprint, entry, None)})]

        store.script = [script]
        answers = await asyncio.gather(engine.submit("u", deduct("k")), engine.submit("clerk:x", deduct("k")))
    assert [answer.replayed for answer in answers] == [True, False]
    assert charged(store) == {"u": ["k"], "v": ["k"]}


async def test_what_was_applied_without_an_answer_before_the_move_is_not_applied_again() -> None:
    store = Store()
    store.owners = {"clerk:x": "u"}
    async with engine_on(store) as engine:
        assert (await engine.submit("clerk:x", deduct("0"))).receipt is not None

        def lost(units: Sequence[AnyUnit]) -> list[Outcome]:
            raise OutcomeUnknown("cut")

        def settled(units: Sequence[AnyUnit]) -> list[Outcome | None]:
            store.owners["clerk:x"] = "v"
            entry = units[0].decided[0][1]
            assert isinstance(entry, Entry)
            return [Replayed(moved(store, "u"), {"k": Stored(entry.fingerprint, entry, None)})]

        store.script, store.settle_script = [lost], [settled]
        answer = await engine.submit("clerk:x", deduct("k"))
        assert answer.receipt is not None
        assert (await engine.submit("clerk:x", deduct("later"))).receipt is not None
    assert charged(store) == {"u": ["0"], "v": ["later"]}


async def test_an_account_that_is_read_anew_tells_of_the_move_too() -> None:
    """After a failed unit; the actor began under the Clerk id, which is somebody else's now."""
    store = Store()
    store.owners = {"clerk:x": "u"}
    async with engine_on(store, unit_operations_max=1) as engine:
        assert (await engine.submit("clerk:x", deduct("0"))).receipt is not None

        def fails(units: Sequence[AnyUnit]) -> list[Outcome]:
            store.owners["clerk:x"] = "v"
            moved(store, "u")
            raise NotCommitted("no", poisoned=True, error=SchemaChanged("a column", outcome="not_applied"))

        store.script = [fails]
        refs = ["u", "u", "clerk:x"]
        answers = await asyncio.gather(*(engine.submit(ref, deduct(str(no))) for no, ref in enumerate(refs, 1)))
    assert [answer.error and answer.error.code for answer in answers] == ["schema_changed", None, None]
    assert charged(store) == {"u": ["0", "2"], "v": ["3"]}


async def test_who_finds_no_room_at_the_new_owner_is_told_so() -> None:
    store = Store()
    store.owners = {"clerk:x": "u"}
    async with engine_on(store, accounts_resident_max=1) as engine:
        assert (await engine.submit("clerk:x", deduct("0"))).receipt is not None
        store.script = [moves(store, "u", "x", "v")]
        answers = await asyncio.gather(engine.submit("u", deduct("1")), engine.submit("clerk:x", deduct("2")))
    assert answers[0].receipt is not None
    assert answers[1].error is not None
    assert answers[1].error.code == "overloaded"
