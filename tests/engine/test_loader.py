"""Loading and adopting: each user with what is the matter with that one, and nobody behind anybody
else.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from pedro_ledger.engine.loader import USERS_PER_ADOPTION_MAX
from pedro_ledger.ledger.account import AccountQuery
from pedro_ledger.ledger.errors import Busy, Conflict, LedgerError, NotServed, SchemaChanged, Unavailable
from pedro_ledger.ledger.operations import Refund
from tests.engine.fakes import Store, account, deduct, engine_on

CHANGED = SchemaChanged("a column", outcome="not_applied")
HELD = Busy("held", outcome="not_applied")


def blames(user: str, error: LedgerError) -> Any:
    """What fails whenever `user` is among the users of a query."""

    def script(asked: Sequence[AccountQuery | str]) -> Any:
        if any(user in (each, getattr(each, "ref", None)) for each in asked):
            raise NotServed(error)
        return {}

    return script


async def test_users_are_adopted_together_and_each_is_read_afterwards() -> None:
    store = Store()
    store.unadopted = {f"u{number}" for number in range(10)}
    async with engine_on(store) as engine:
        answers = await asyncio.gather(*(engine.submit(f"u{number}", deduct("k")) for number in range(20)))
    assert all(answer.receipt is not None for answer in answers)
    assert store.adoptions == [[f"u{number}" for number in range(10)]]


async def test_who_is_to_blame_for_a_failed_adoption_is_found_by_halving() -> None:
    store = Store()
    store.unadopted = {f"u{number}" for number in range(8)}
    store.adopt_script = [blames("u5", CHANGED)] * 50
    faults: list[tuple[str, LedgerError]] = []
    async with engine_on(store, on_fault=lambda user, error: faults.append((user, error))) as engine:
        answers = await asyncio.gather(*(engine.submit(f"u{number}", deduct("k")) for number in range(8)))
        assert len(engine.registry) == 7, "who could not be adopted is not kept"
    assert [answer.error for answer in answers] == [None] * 5 + [CHANGED] + [None] * 2
    assert [len(users) for users in store.adoptions] == [8, 4, 4, 2, 1, 1, 2]
    assert faults == [("u5", CHANGED)]


async def test_who_is_to_blame_for_a_failed_load_is_found_by_halving() -> None:
    store = Store()
    store.load_script = [blames("u5", CHANGED)] * 50
    async with engine_on(store) as engine:
        answers = await asyncio.gather(*(engine.submit(f"u{number}", deduct("k")) for number in range(8)))
    assert [answer.error for answer in answers] == [None] * 5 + [CHANGED] + [None] * 2


async def test_a_mistake_of_ours_that_concerns_one_user_ends_nothing_for_the_others() -> None:
    store = Store()
    mistake = ValueError("a row that cannot be read")

    def script(asked: Sequence[AccountQuery]) -> None:
        if any(each.ref == "odd" for each in asked):
            raise mistake

    store.load_script = [script] * 50
    faults: list[LedgerError] = []
    async with engine_on(store, on_fault=lambda user, error: faults.append(error)) as engine:
        answers = await asyncio.gather(*(engine.submit(user, deduct("k")) for user in ("a", "odd", "b")))
        assert not engine.crashed.done()
    assert [answer.error and answer.error.code for answer in answers] == [None, "unavailable", None]
    assert [fault.__cause__ for fault in faults] == [mistake]


async def test_whose_row_is_locked_is_tried_alone_until_it_is_free() -> None:
    store = Store()
    store.unadopted = {"held", "a", "b"}
    store.adopt_script = [lambda users: {"held": HELD}, lambda users: {}, lambda users: {"held": HELD}]
    async with engine_on(store) as engine:
        futures = [engine.submit(user, deduct("k")) for user in ("held", "a")]
        assert (await futures[1]).receipt is not None
        assert engine.loader.deferred == 1
        assert (await engine.submit("b", deduct("k"))).receipt is not None
        assert not futures[0].done()
        assert (await futures[0]).receipt is not None
        assert engine.loader.deferred == 0
    assert store.adoptions == [["held", "a"], ["b"], ["held"], ["held"]]


async def test_whose_row_stays_locked_is_told_so_at_the_deadline_and_forgotten() -> None:
    store = Store()
    store.unadopted = {"held"}
    store.adopt_script = [blames("held", HELD)] * 1000
    async with engine_on(store, operation_timeout_s=0.3) as engine:
        told = (await engine.submit("held", deduct("k"))).error
        assert told is not None
        assert (told.code, told.facts["outcome"]) == ("busy", "not_applied")
        async with asyncio.timeout(30):
            while len(engine.registry):
                await asyncio.sleep(0.01)


async def test_what_stands_against_one_user_is_told_to_that_one() -> None:
    store = Store()
    store.unadopted = {"a", "b"}
    conflict = Conflict("another balance carries the Clerk id", code="clerkid_taken")
    store.adopt_script = [lambda users: {"b": conflict}]
    async with engine_on(store) as engine:
        answers = await asyncio.gather(engine.submit("a", deduct("k")), engine.submit("b", deduct("k")))
    assert [answer.error for answer in answers] == [None, conflict]


async def test_an_adoption_that_falls_silent_holds_up_no_load_and_no_other_adoption() -> None:
    store = Store()
    store.unadopted = {"silent", "cold"}
    silent = asyncio.Event()
    adopt = store.adopt

    async def falls_silent(user_ids: Sequence[str]) -> Any:
        if "silent" in user_ids:
            await silent.wait()
        return await adopt(user_ids)

    store.adopt = falls_silent  # type: ignore[method-assign]
    async with engine_on(store) as engine:
        waiting = engine.submit("silent", deduct("k"))
        assert (await engine.submit("known", deduct("k"))).receipt is not None
        assert (await engine.submit("cold", deduct("k"))).receipt is not None
        assert not waiting.done()
        silent.set()
        assert (await waiting).receipt is not None


async def test_a_load_that_falls_silent_holds_up_no_other_load() -> None:
    store = Store()
    begun, silent = asyncio.Event(), asyncio.Event()
    load = store.load

    async def falls_silent(wanted: Sequence[AccountQuery]) -> Any:
        if wanted[0].ref == "silent":
            begun.set()
            await silent.wait()
        return await load(wanted)

    store.load = falls_silent  # type: ignore[method-assign]
    async with engine_on(store) as engine:
        waiting = engine.submit("silent", deduct("k"))
        await begun.wait()
        assert (await engine.submit("other", deduct("k"))).receipt is not None
        assert not waiting.done()
        silent.set()
        assert (await waiting).receipt is not None


async def test_an_adoption_takes_so_many_at_most() -> None:
    store = Store()
    users = [f"u{number}" for number in range(USERS_PER_ADOPTION_MAX + 1)]
    store.unadopted = set(users)
    async with engine_on(store) as engine:
        await asyncio.gather(*(engine.submit(user, deduct("k")) for user in users))
    assert [len(batch) for batch in store.adoptions] == [USERS_PER_ADOPTION_MAX, 1]


async def test_what_concerns_everybody_is_told_at_once_and_nothing_is_halved() -> None:
    store = Store()

    def script(asked: Sequence[AccountQuery]) -> None:
        raise NotServed(CHANGED, is_everybodys=True)

    store.load_script = [script]
    async with engine_on(store) as engine:
        answers = await asyncio.gather(*(engine.submit(f"u{number}", deduct("k")) for number in range(8)))
    assert [answer.error for answer in answers] == [CHANGED] * 8
    assert len(store.loads) == 1


async def test_what_keeps_the_database_from_answering_is_soon_alone_and_the_others_are_served() -> None:
    store = Store()

    def script(asked: Sequence[AccountQuery]) -> None:
        if any(each.ref == "stuck" for each in asked):
            raise Unavailable("it was cancelled")

    store.load_script = [script] * 1000
    async with engine_on(store) as engine:
        stuck = engine.submit("stuck", deduct("k"))
        answers = await asyncio.gather(*(engine.submit(f"u{number}", deduct("k")) for number in range(8)))
        assert {answer.error for answer in answers} == {None}
        assert not stuck.done()
        store.load_script.clear()
        assert (await stuck).receipt is not None
        assert (await engine.submit("later", deduct("k"))).receipt is not None


async def test_batches_grow_again_once_the_database_answers() -> None:
    store = Store()
    store.is_away = True
    async with engine_on(store) as engine:
        futures = [engine.submit(f"u{number}", deduct("k")) for number in range(16)]
        while len(store.loads) < 12:
            await asyncio.sleep(0.01)
        assert len(store.loads[-1]) == 1
        store.is_away = False
        assert {(await future).error for future in futures} == {None}
        store.loads.clear()
        await asyncio.gather(*(engine.submit(f"v{number}", deduct("k")) for number in range(4)))
    assert max(map(len, store.loads)) > 1


async def test_an_entry_that_cannot_be_read_concerns_who_names_it_and_nobody_behind() -> None:
    store = Store()

    def script(asked: Sequence[AccountQuery]) -> None:
        if any(3 in each.original_seqs for each in asked):
            raise ValueError("an entry that cannot be read")

    store.accounts["u"] = account("u", seq=9)
    store.load_script = [script] * 50
    async with engine_on(store) as engine:
        named = [Refund(f"r{seq}", "test", f"e{seq}", seq) for seq in (2, 3, 4, 3)]
        answers = await asyncio.gather(*(engine.submit("u", each) for each in (*named, deduct("d"))))
        codes = [answer.error.code if answer.error else "applied" for answer in answers]
        assert codes == ["entry_not_found", "unavailable", "entry_not_found", "unavailable", "applied"]
        assert (await engine.submit("u", deduct("later"))).receipt is not None
        assert len(store.loads) < 12
