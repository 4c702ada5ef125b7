"""The engine's promises under everything that a network and a database can do, thousands of times;
and that breaking them shows.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pedro_ledger.engine.actor import UserActor
from pedro_ledger.engine.busy import BusyActors
from pedro_ledger.engine.committer import BatchSlot, GroupCommitter
from pedro_ledger.engine.engine import Engine
from pedro_ledger.engine.in_doubt import InDoubtUnits
from pedro_ledger.ledger.units import APPLIED, BUSY, Outcome, Stale, Unit
from tests.system.simulation import virtual_time
from tests.system.simulation.link import Link
from tests.system.simulation.seeds import run_seeds
from tests.system.simulation.story import tell
from tests.system.simulation.virtual_time import Stuck
from tests.system.simulation.world import AnyUnit, Broken, World


@pytest.mark.parametrize(
    ("first", "seeds"),
    [(0, 1_000), pytest.param(1_000, 9_000, marks=pytest.mark.thorough)],
    ids=["the first thousand", "ten thousand"],
)
def test_every_seed_keeps_every_promise(first: int, seeds: int) -> None:
    summary = run_seeds(first, seeds)
    assert not summary.failures, "\n".join(
        f"{failure.what}; repeat: python -m tests.system.simulation --seed {failure.seed}"
        for failure in summary.failures
    )
    answered, injected = summary.outline.answered, summary.outline.injected
    for outcome in (
        "applied",
        "replayed",
        "insufficient_credits",
        "unavailable, unknown",
        "unavailable, not_applied",
        "busy, not_applied",
    ):
        assert answered[outcome] > seeds / 10, f"{outcome} was hardly met: {answered}"
    assert len(injected) == 18, injected
    for what in ("lapse", "expiry", "rollover", "renewal", "hold", "capture", "void", "extend", "refund"):
        assert summary.outline.booked[what] > seeds / 20, f"hardly any {what}: {summary.outline.booked}"


def test_a_seed_tells_the_same_story_again() -> None:
    for seed in range(50):
        assert tell(seed) == tell(seed)


async def settled_blindly(self: GroupCommitter, slots: Sequence[BatchSlot]) -> None:
    for slot in slots:
        self._finish(slot.actor, APPLIED)


async def forgotten(self: Link, units: Sequence[AnyUnit]) -> list[Outcome]:
    return [APPLIED] * len(units)


def settled_by_keys_alone(self: AnyUnit, account: Any, answers: dict[str, Any]) -> Outcome:
    return APPLIED if answers else Stale(account)


def applied_on_any_revision(self: World, unit: AnyUnit) -> Outcome:
    self.accounts[unit.user_id] = self.accounts[unit.user_id]._replace(revision=unit.before.revision)
    return right_apply(self, unit)


right_apply = World._apply
right_finish = GroupCommitter._finish
right_on_answered = Engine.on_answered


def locked_taken_for_applied(self: GroupCommitter, actor: UserActor, outcome: Outcome) -> None:
    right_finish(self, actor, APPLIED if outcome is BUSY else outcome)


def counted_twice(self: Engine, operation: Any, answer: Any) -> None:
    right_on_answered(self, operation, answer)
    self.in_flight -= 1


def nothing(self: Any, *_: Any) -> None: ...


BREAKAGES: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "an unknown outcome is taken for success": (GroupCommitter, "_settle", settled_blindly),
    "answers leave without a commit": (Link, "commit", forgotten),
    "a unit is settled by its keys alone": (Unit, "settled", settled_by_keys_alone),
    "revisions are not compared": (World, "_apply", applied_on_any_revision),
    "what may still arrive is called not applied": (UserActor, "mark_in_doubt", nothing),
    "a repeated key in one unit is dropped": (UserActor, "_follow", nothing),
    "deadlines are not kept": (UserActor, "expire", lambda self, now: 0),
    "operations in flight are counted wrongly": (Engine, "on_answered", counted_twice),
    "units that were not committed are dropped": (UserActor, "abandon_unit", lambda self: setattr(self, "unit", None)),
    "what a locked balance kept back is taken for applied": (GroupCommitter, "_finish", locked_taken_for_applied),
    "who is busy is forgotten": (BusyActors, "add", nothing),
    "who is in doubt while an account is held is forgotten": (InDoubtUnits, "add", nothing),
    "a locked account holds up the batch": (GroupCommitter, "_without", lambda self, slots, locked: slots),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_promise_is_found(breakage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, broken = BREAKAGES[breakage]
    monkeypatch.setattr(owner, name, broken)
    for seed in range(2_000):
        try:
            tell(seed)
        except (Broken, Stuck, AssertionError):
            return
    pytest.fail(f"2,000 seeds did not find that {breakage}")


def test_who_waits_for_ever_is_noticed() -> None:
    async def wait_for_ever() -> None:

        await asyncio.Event().wait()

    with pytest.raises(Stuck):
        virtual_time.run(wait_for_ever())
