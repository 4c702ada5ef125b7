"""The engine's own rules: order, batching, what becomes of units that were not applied, bounds,
deadlines, shutdown.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from pedro_ledger.engine.actor import UserActor
from pedro_ledger.engine.committer import BATCH_SPLIT_MIN, FAIR_SHARE_MIN
from pedro_ledger.engine.engine import Engine
from pedro_ledger.ledger.account import Loaded, Original
from pedro_ledger.ledger.errors import NotCommitted, OutcomeUnknown, Overloaded, SchemaChanged, Unavailable
from pedro_ledger.ledger.ids import account_tag, entry_id
from pedro_ledger.ledger.operations import Deduct, Grant, Refund
from pedro_ledger.ledger.units import APPLIED, Outcome, Replayed, Stale, Stored
from pedro_ledger.telemetry.metrics import Metrics
from tests.engine.fakes import AnyUnit, Store, account, deduct, engine_on, limits
from tests.support.patience import PATIENCE_S, until


def raising(error: Exception) -> Any:
    def answer(units: Sequence[AnyUnit]) -> list[Outcome]:
        raise error

    return answer


def keys(units: Sequence[AnyUnit]) -> list[list[str]]:
    return [[decided.key for _, decided in unit.decided] for unit in units]


async def test_what_waits_for_one_user_is_one_unit_in_order() -> None:
    store = Store()
    async with engine_on(store) as engine:
        store.gate.clear()
        first = engine.submit("u", deduct("1"))
        while not store.batches:
            await asyncio.sleep(0)
        later = [engine.submit("u", deduct(str(number))) for number in range(2, 6)]
        store.gate.set()
        answers = [await future for future in (first, *later)]
    assert [keys(batch) for batch in store.batches] == [[["1"]], [["2", "3", "4", "5"]]]
    assert [answer.receipt.credits_remaining for answer in answers if answer.receipt] == [99, 98, 97, 96, 95]
    assert [answer.receipt.seq for answer in answers if answer.receipt] == [2, 3, 4, 5, 6]


async def test_units_of_many_users_are_one_batch_and_their_accounts_one_load() -> None:
    store = Store()
    async with engine_on(store) as engine:
        await asyncio.gather(*(engine.submit(f"u{number}", deduct("k")) for number in range(BATCH_SPLIT_MIN)))
    assert [len(load) for load in store.loads] == [BATCH_SPLIT_MIN]
    assert [len(batch) for batch in store.batches] == [BATCH_SPLIT_MIN]


async def test_callers_that_ask_again_at_once_settle_into_two_halves() -> None:
    store = Store()
    store.turns = 20

    async def caller(user: int) -> None:
        for number in range(10):
            await engine.submit(f"u{user}", deduct(str(number)))

    async with engine_on(store) as engine:
        store.gate.clear()
        early = [
            asyncio.create_task(caller(user)) for user in range(30)
        ]  # a small batch is under way when many more come
        await store.begun.wait()
        late = [asyncio.create_task(caller(user)) for user in range(30, 200)]
        await asyncio.sleep(0)
        store.gate.set()
        await asyncio.gather(*early, *late)
    sizes = [len(batch) for batch in store.batches]
    assert sizes[0] == 30
    assert sizes[2:10] == [100] * 8


async def test_a_user_has_one_unit_under_way() -> None:
    store = Store()
    async with engine_on(store, commit_lanes=4) as engine:
        store.gate.clear()
        futures = [engine.submit("u", deduct(str(number))) for number in range(10)]
        for _ in range(20):
            await asyncio.sleep(0)
        futures += [engine.submit("u", deduct(f"more {number}")) for number in range(10)]
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(store.batches) == 1
        store.gate.set()
        await asyncio.gather(*futures)


async def test_a_stale_unit_is_decided_again_on_the_fresh_account() -> None:
    store = Store()
    store.script = [lambda units: [Stale(account("u", posted=2, seq=7, revision=9))]]
    async with engine_on(store) as engine:
        answers = await asyncio.gather(*(engine.submit("u", deduct(str(number))) for number in range(3)))
    assert [answer.receipt and answer.receipt.seq for answer in answers] == [8, 9, None]
    assert answers[2].error is not None
    assert answers[2].error.code == "insufficient_credits"


async def test_a_replayed_key_gets_its_stored_answer_and_the_others_are_decided_again() -> None:
    store = Store()

    def replayed(units: Sequence[AnyUnit]) -> list[Outcome]:
        _, entry = units[0].decided[1]
        return [Replayed(account("u", posted=50, seq=4, revision=5), {"1": Stored(entry.fingerprint, entry, None)})]  # type: ignore[arg-type]

    store.script = [replayed]
    async with engine_on(store) as engine:
        answers = await asyncio.gather(*(engine.submit("u", deduct(str(number))) for number in range(3)))
    assert [answer.replayed for answer in answers] == [False, True, False]
    assert [answer.receipt.credits_remaining for answer in answers if answer.receipt] == [49, 98, 48]
    assert keys(store.batches[1]) == [["0", "2"]]


async def test_a_key_twice_in_a_unit_is_applied_once() -> None:
    store = Store()
    async with engine_on(store) as engine:
        same = [engine.submit("u", deduct("k")) for _ in range(3)]
        other = engine.submit("u", deduct("k", 2))
        first, *again = [await future for future in same]
        reused = await other
    assert keys(store.batches[0]) == [["k"]]
    assert {answer.receipt for answer in again} == {first.receipt}
    assert [answer.replayed for answer in (first, *again)] == [False, True, True]
    assert reused.error is not None
    assert reused.error.code == "idempotency_key_reused"


async def test_an_unknown_outcome_is_settled_before_anybody_is_told() -> None:
    store = Store()
    store.script = [raising(OutcomeUnknown("cut"))]
    store.settle_script = [raising(OutcomeUnknown("still away")), lambda units: [APPLIED, Stale(account("b", 5, 3, 3))]]
    async with engine_on(store) as engine:
        a, b = engine.submit("a", deduct("1")), engine.submit("b", deduct("1"))
        answers = [await a, await b]
    assert len(store.settled) == 2
    assert [answer.receipt.credits_remaining for answer in answers if answer.receipt] == [99, 4]
    assert len(store.batches) == 2, "only what was not applied is committed again"


async def test_what_certainly_was_not_committed_is_tried_again() -> None:
    store = Store()
    store.script = [raising(NotCommitted("deadlock", poisoned=False))] * 3
    async with engine_on(store) as engine:
        answer = await engine.submit("u", deduct("1"))
    assert answer.receipt is not None
    assert len(store.batches) == 4


async def test_one_operation_that_the_database_refuses_harms_no_neighbour() -> None:
    store = Store()

    def refuse_the_bad_one(units: Sequence[AnyUnit]) -> list[Outcome]:
        store.script.append(refuse_the_bad_one)
        if any("bad" in key for unit in keys(units) for key in unit):
            raise NotCommitted("DataError (22P02)", poisoned=True)
        return [APPLIED] * len(units)

    store.script = [refuse_the_bad_one]
    async with engine_on(store) as engine:
        futures = {
            (user, key): engine.submit(user, deduct(key))
            for user in ("a", "b", "c", "d", "e")
            for key in ("1", "bad" if user == "c" else "2", "3")
        }
        answers = {name: await future for name, future in futures.items()}
        store.script.clear()
    refused = answers.pop(("c", "bad"))
    assert refused.error is not None
    assert refused.error.code == "operation_rejected"
    assert all(answer.receipt is not None for answer in answers.values())
    assert answers["c", "3"].receipt.credits_remaining == 98  # type: ignore[union-attr]


async def test_what_no_operation_is_to_blame_for_and_waiting_does_not_mend_is_told_to_all_at_once() -> None:
    store = Store()
    store.script = [
        raising(NotCommitted("(42703)", poisoned=False, error=SchemaChanged("gone", outcome="not_applied")))
    ]
    async with engine_on(store) as engine:
        answers = await asyncio.gather(*(engine.submit(user, deduct(str(n))) for user in "abc" for n in range(2)))
        assert engine.committer.failure == "(42703)"
        assert len(store.batches) == 1
        assert (await engine.submit("a", deduct("0"))).receipt is not None
        assert engine.committer.failure == ""
    assert [answer.error.code for answer in answers if answer.error is not None] == ["schema_changed"] * 6


async def test_what_is_in_doubt_is_not_called_not_applied_because_the_schema_changed_meanwhile() -> None:
    store = Store()
    schema_changed = SchemaChanged("a column", outcome="not_applied")
    store.script = [
        raising(OutcomeUnknown("cut")),
        raising(NotCommitted("(23502)", poisoned=True, error=schema_changed)),
    ]
    store.settle_script = [lambda units: [Stale(account("u"))]]
    async with engine_on(store) as engine:
        told = (await engine.submit("u", deduct("sent"))).error
        assert told is not None
        assert told.facts["outcome"] == "unknown"
        store.script = [raising(NotCommitted("(23502)", poisoned=True, error=schema_changed))]
        assert (await engine.submit("u", deduct("new"))).error is schema_changed


async def test_a_full_mailbox_and_a_full_house_are_refused_at_once() -> None:
    store = Store()
    async with engine_on(store, mailbox_size_max=5, operations_in_flight_max=10) as engine:
        store.gate.clear()
        futures = [engine.submit("u", deduct(str(number))) for number in range(4)]
        with pytest.raises(Overloaded, match="4 operations of this user"):
            engine.submit("u", deduct("4"))
        futures.append(engine.submit("u", Grant("g1", "test", 5, "promo")))
        with pytest.raises(Overloaded, match="5 operations of this user"):
            engine.submit("u", Grant("g2", "test", 5, "promo"))
        assert not engine.is_full
        futures += [engine.submit("other", deduct(str(number))) for number in range(2)]
        assert engine.is_full, "readiness tells before anything is turned away"
        futures.append(engine.submit("third", deduct("1")))
        with pytest.raises(Overloaded, match="in flight"):
            engine.submit("third", deduct("2"))
        futures += [engine.submit("third", Grant(f"g{number}", "test", 5, "promo")) for number in range(2)]
        with pytest.raises(Overloaded, match="in flight"):
            engine.submit("third", Grant("g3", "test", 5, "promo"))
        store.gate.set()
        assert {(await future).error for future in futures} == {None}
        assert engine.in_flight == 0
        await engine.submit("third", deduct("3"))


async def test_of_a_request_of_many_only_what_does_not_fit_is_turned_away() -> None:
    store = Store()
    async with engine_on(store, operations_in_flight_max=10) as engine:
        asked = [(f"u{number}", deduct("d")) for number in range(9)] + [("v", Grant("g", "test", 5, "promo"))]
        answers = await engine.submit_many(asked)
        assert [answer.error.code if answer.error else "applied" for answer in answers] == [
            *["applied"] * 8, "overloaded", "applied",
        ]  # fmt: skip
        with pytest.raises(Overloaded):
            await engine.submit_many([*asked, ("w", deduct("d"))])


async def test_a_user_who_is_nobody_is_told_so_and_forgotten() -> None:
    store = Store()
    store.nobodies = {"nobody"}
    async with engine_on(store) as engine:
        answers = await asyncio.gather(*(engine.submit("nobody", deduct(str(number))) for number in range(3)))
        assert {answer.error.code for answer in answers if answer.error} == {"user_not_found"}
        assert len(engine.registry) == 0


async def test_both_names_of_a_user_lead_to_one_actor() -> None:
    store = Store()
    async with engine_on(store) as engine:
        futures = [engine.submit(name, deduct(f"{number} {name}")) for number in range(4) for name in ("u", "clerk:u")]
        answers = [await future for future in futures]
        assert sorted(answer.receipt.credits_remaining for answer in answers if answer.receipt) == list(range(92, 100))
        await engine.submit("clerk:u", deduct("last"))
    assert all(len(batch) == 1 for batch in store.batches)


async def test_a_linked_refund_waits_for_its_entry_and_keeps_its_place() -> None:
    store = Store()
    async with engine_on(store) as engine:
        named = entry_id(1, account_tag("u"), 1)
        futures = [
            engine.submit("u", operation) for operation in (deduct("1"), Refund("2", "a", named, 1), deduct("3"))
        ]
        answers = [await future for future in futures]
    assert [keys(batch) for batch in store.batches] == [[["1"]], [["2", "3"]]]
    assert answers[1].error is not None
    assert answers[1].error.code == "entry_not_found"


async def test_the_entries_that_waiting_refunds_name_are_loaded_together() -> None:
    store = Store()
    named = [(seq, entry_id(1, account_tag("u"), seq)) for seq in range(2, 902)]
    async with engine_on(store) as engine:
        await engine.submit("u", deduct("first"))
        answers = await engine.submit_many([("u", Refund(f"r{seq}", "a", each, seq)) for seq, each in named])
    assert {answer.error and answer.error.code for answer in answers} == {"entry_not_found"}
    assert len(store.loads) == 2, "the account, and then every entry at once"


async def test_what_was_read_of_an_entry_is_kept_while_more_are_read_and_dropped_with_the_revision() -> None:
    actor = UserActor("u")
    known, more = Original(1, "e1", "deduct", "X", 5, 0), Original(2, "e2", "deduct", "X", 5, 0)
    actor.load(Loaded(account("u"), {1: known}))
    actor.load(Loaded(account("u"), {2: more}))
    assert actor.originals == {1: known, 2: more}
    actor.load(Loaded(account("u", revision=2), {2: more}))
    assert actor.originals == {2: more}, "somebody may have refunded entry 1 meanwhile"


async def test_an_idle_daemon_takes_a_request_of_a_thousand_deducts_of_one_user() -> None:
    store = Store()
    store.accounts["u"] = account("u", posted=1000)
    async with engine_on(store) as engine:
        answers = await engine.submit_many([("u", deduct(str(number))) for number in range(1000)])
    assert [answer.error for answer in answers if answer.error is not None] == []
    assert store.accounts["u"].posted == 0


async def test_idle_accounts_leave_and_the_least_used_make_room() -> None:
    store = Store()
    async with engine_on(store, accounts_resident_max=3, account_idle_s=100) as engine:
        for user in ("a", "b", "c", "a", "d"):
            await engine.submit(user, deduct(user + str(len(store.batches))))
        assert len(engine.registry) == 3
        await engine.submit("a", deduct("again"))
        assert store.loads == [["a"], ["b"], ["c"], ["d"]], "b made room, a stayed"
        engine.sweeper.sweep(engine.loop.time() + 99)
        assert len(engine.registry) == 3
        engine.sweeper.sweep(engine.loop.time() + 101)
        assert len(engine.registry) == 0


async def test_what_is_past_its_deadline_is_answered_as_it_stands() -> None:
    store = Store()
    async with engine_on(store, operation_timeout_s=60) as engine:
        await engine.submit("u", deduct("0"))
        store.gate.clear()
        under_way = engine.submit("u", deduct("1"))
        while len(store.batches) < 2:
            await asyncio.sleep(0)
        waiting = engine.submit("u", deduct("2"))
        engine.sweeper.sweep(engine.loop.time() + 59)
        assert not under_way.done()
        engine.sweeper.sweep(engine.loop.time() + 61)
        told = [await under_way, await waiting]
        assert [answer.error.facts["outcome"] for answer in told if answer.error] == ["unknown", "not_applied"]
        store.gate.set()
        after = await engine.submit("u", deduct("3"))
        assert after.receipt is not None
        assert after.receipt.credits_remaining == 97, "the first was applied after all, the second never was"


async def test_the_database_that_is_away_while_loading_ends_in_not_applied() -> None:
    store = Store()
    store.is_away = True
    async with engine_on(store, operation_timeout_s=60) as engine:
        future = engine.submit("u", deduct("1"))
        while not store.loads:
            await asyncio.sleep(0)
        engine.sweeper.sweep(engine.loop.time() + 61)
        answer = await future
        assert isinstance(answer.error, Unavailable)
        store.is_away = False


async def test_a_caller_that_goes_away_cancels_nothing() -> None:
    store = Store()
    async with engine_on(store) as engine:
        store.gate.clear()
        future = engine.submit("u", deduct("1"))
        while not store.batches:
            await asyncio.sleep(0)
        future.cancel()
        store.gate.set()
        answer = await engine.submit("u", deduct("2"))
        assert answer.receipt is not None
        assert (answer.receipt.credits_remaining, engine.in_flight) == (98, 0)


async def test_draining_finishes_what_was_accepted_and_takes_nothing_new() -> None:
    store = Store()
    async with engine_on(store) as engine:
        store.gate.clear()
        futures = [engine.submit(f"u{number}", Grant("k", "a", 5, "promo")) for number in range(20)]
        drained = asyncio.ensure_future(engine.drain(5))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="shutting down"):
            engine.submit("u1", deduct("late"))
        store.gate.set()
        assert await drained is True
        assert all(future.result().receipt is not None for future in futures)


async def test_what_a_lost_commit_may_still_do_is_never_called_not_applied() -> None:
    store = Store()

    def lost(units: Sequence[AnyUnit]) -> list[Outcome]:
        store.is_away = True
        store.script.append(raising(NotCommitted("no connection", poisoned=False)))
        raise OutcomeUnknown("cut")

    store.script = [lost, *[raising(NotCommitted("no connection", poisoned=False))] * 50]
    store.settle_script = [lambda units: [Stale(account("u"))]]
    async with engine_on(store, operation_timeout_s=60) as engine:
        sent = engine.submit("u", deduct("sent"))
        await until(lambda: store.settled)
        never_sent = engine.submit("v", deduct("never sent"))
        await until(lambda: ["v"] in store.loads)
        engine.sweeper.sweep(engine.loop.time() + 61)
        told = [(await future).error for future in (sent, never_sent)]
        store.script.clear()
    assert [error.facts["outcome"] for error in told if error is not None] == ["unknown", "not_applied"]


async def test_a_refused_key_twice_in_a_unit_is_refused_once_and_repeated() -> None:
    store = Store()
    async with engine_on(store) as engine:
        store.gate.clear()
        first = engine.submit("u", deduct("first"))
        await store.begun.wait()
        too_much = [engine.submit("u", deduct("much", 1000)) for _ in range(3)]
        other = engine.submit("u", deduct("much", 1001))
        unpriced = [engine.submit("u", Deduct("free", "test", "nothing")) for _ in range(3)]
        last = [engine.submit("u", deduct("last")) for _ in range(2)]
        store.gate.set()
        refused = [await future for future in too_much]
        assert [(answer.error.code if answer.error else None, answer.replayed) for answer in refused] == [
            ("insufficient_credits", False), ("insufficient_credits", True), ("insufficient_credits", True),
        ]  # fmt: skip
        reused = (await other).error
        assert reused is not None
        assert reused.code == "idempotency_key_reused"
        assert "Use a new key" in reused.detail
        assert [answer.error.code for answer in [await future for future in unpriced] if answer.error] == [
            "no_price"
        ] * 3
        assert [answer.replayed for answer in [await future for future in last]] == [False, True]
        assert (await first).receipt is not None
    assert len([key for batch in store.batches for unit in keys(batch) for key in unit if key == "much"]) == 1


async def test_one_that_cannot_be_taken_harms_no_other_of_a_request() -> None:
    store = Store()
    async with engine_on(store, mailbox_size_max=2) as engine:
        answers = await engine.submit_many([("u", deduct(str(number))) for number in range(4)] + [("v", deduct("v"))])
    assert [answer.error.code if answer.error else "applied" for answer in answers] == [
        "applied", "overloaded", "overloaded", "overloaded", "applied",
    ]  # fmt: skip


async def test_what_is_turned_away_is_counted_by_its_reason() -> None:
    store = Store()
    async with engine_on(store, mailbox_size_max=3, operation_timeout_s=0.01) as engine:
        store.gate.clear()
        futures = [engine.submit("u", deduct("first"))]
        await store.begun.wait()
        futures += [engine.submit("u", deduct(str(number))) for number in range(2)]
        with pytest.raises(Overloaded):
            engine.submit("u", deduct("one too many"))
        for future in futures:
            await future
        store.gate.set()
        counted = engine._meter.registry.get_sample_value  # type: ignore[attr-defined]
        assert counted("pedro_ledger_turned_away_total", {"reason": "deadline"}) == 3
        assert counted("pedro_ledger_turned_away_total", {"reason": "mailbox"}) == 1
        assert engine.registry.deepest_mailbox() == 0


async def test_who_floods_gets_a_share_of_the_batch_and_all_of_it_alone() -> None:
    store = Store()
    async with engine_on(store) as engine:
        store.gate.clear()
        futures = [engine.submit("first", deduct("1"))]
        await store.begun.wait()
        futures += [engine.submit("hot", deduct(str(number))) for number in range(400)]
        futures += [engine.submit(f"u{number}", deduct("1")) for number in range(20)]
        store.gate.set()
        await asyncio.gather(*futures)
    sizes = [{unit.user_id: len(unit.decided) for unit in batch} for batch in store.batches[1:]]
    assert sizes[0] == {"hot": FAIR_SHARE_MIN} | {f"u{number}": 1 for number in range(20)}
    assert sizes[1]["hot"] == FAIR_SHARE_MIN, "the others, just answered, are expected back"
    assert len(sizes) < 15
    assert max(size["hot"] for size in sizes) > 3 * FAIR_SHARE_MIN, "alone it soon gets more"


def cancelled_from_within(_: Any) -> Any:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("part", "fails", "told"),
    [
        ("script", raising(RuntimeError("a mistake of ours")), "a mistake of ours"),
        ("script", cancelled_from_within, "GroupCommitter.run_lane was cancelled, and not by us"),
        ("load_script", cancelled_from_within, "QueryLine.run_lane was cancelled, and not by us"),
    ],
)
async def test_a_part_that_dies_is_told_of(part: str, fails: Any, told: str) -> None:
    store = Store()
    setattr(store, part, [fails])
    engine = Engine(store, store, Metrics(), lambda: 1_795_000_000_000, limits())
    engine.start()
    assert not engine.crashed.done()
    engine.submit("u", deduct("1"))
    async with asyncio.timeout(PATIENCE_S):
        assert str(await engine.crashed) == told
    assert not await engine.drain(0)


async def test_draining_ends_with_the_last_answer_and_not_with_the_grace() -> None:
    store = Store()
    async with engine_on(store) as engine:
        store.gate.clear()
        futures = [engine.submit("u", deduct(str(number))) for number in range(3)]
        drained = asyncio.create_task(engine.drain(3600))
        await asyncio.sleep(0)
        store.gate.set()
        async with asyncio.timeout(PATIENCE_S):
            assert await drained
        assert all(future.done() for future in futures)


async def test_who_repeats_a_lost_key_is_not_told_that_it_was_not_applied() -> None:
    store = Store()

    def lost(units: Sequence[AnyUnit]) -> list[Outcome]:
        raise OutcomeUnknown("cut")

    store.script = [lambda units: [APPLIED], lost, *[raising(NotCommitted("no connection", poisoned=False))] * 50]
    store.settle_script = [lambda units: [Stale(account("u"))]]
    async with engine_on(store, operation_timeout_s=60) as engine:
        store.gate.clear()
        first = engine.submit("u", deduct("first"))
        await store.begun.wait()
        twice = [engine.submit("u", deduct("twice")) for _ in range(2)]
        store.gate.set()
        assert (await first).receipt is not None
        await until(lambda: store.settled)
        engine.sweeper.sweep(engine.loop.time() + 61)
        told = [(await future).error for future in twice]
        store.script.clear()
    assert [error.facts["outcome"] for error in told if error is not None] == ["unknown", "unknown"]
