"""The quick look at a ledger says "well" exactly where the thorough one finds nothing."""

from hypothesis import given
from hypothesis import strategies as st

from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.chain import GENESIS, canonical_form, entry_hash
from pedro_ledger.ledger.decide import Facts
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.evidence.audit import AccountSnapshot, FastUserAudit, UserAudit
from pedro_ledger.ledger.operations import Deduct, Grant, Operation
from pedro_ledger.ledger.units import Unit

USER = "user ü"


def ledger() -> tuple[list[Entry], AccountSnapshot]:
    asked: list[Operation] = [Grant("g", "a", 100, "signup")]
    asked += [Deduct(f"k{number}", "b", "X", number - 1, '{"é":1}') for number in range(1, 6)]
    unit: Unit[None] = Unit(Account.new(USER), Facts(), 1_795_000_000_123)
    for operation in asked:
        unit.add(None, operation)
    account = unit.seal()
    made = [decided for _, decided in unit.decided if isinstance(decided, Entry)]
    return made, AccountSnapshot(USER, account.seq, account.posted, account.held, account.head, account.posted)


def is_well(made: list[Entry], snapshot: AccountSnapshot | None) -> bool:
    fast = FastUserAudit(USER)
    for entry in made:
        form = canonical_form(USER, entry).decode().replace("\0", "\x01")
        fast.follow(entry.seq, entry.credits, entry.balance_after, entry.held_after, entry.hash, form)
    return fast.agrees(snapshot)


def is_in_order(made: list[Entry], snapshot: AccountSnapshot | None) -> bool:
    audit = UserAudit(USER)
    for entry in made:
        audit.follow(entry)
    return audit.close(snapshot) is None


def chained(made: list[Entry]) -> list[Entry]:
    """As somebody leaves them who knows how to hash."""
    head, found = GENESIS, []
    for entry in made:
        head = entry_hash(head, USER, entry)
        found.append(entry._replace(hash=head))
    return found


CHANGES = (
    {"seq": 4}, {"id": "0" * 26}, {"kind": "grant"}, {"operation_type": None}, {"credits": 1}, {"balance_after": 5},
    {"held_after": 1}, {"held_after": -1}, {"related_seq": 1}, {"source": "x"}, {"expires_at_ms": 0}, {"priority": 0}, {"key": "x"},
    {"fingerprint": b""}, {"actor": "x"}, {"price": "x"}, {"details": None}, {"at_ms": 1}, {"hash": bytes(32)},
)  # fmt: skip


@given(st.data())
def test_the_quick_look_agrees_with_the_thorough_one(data: st.DataObject) -> None:
    made, snapshot = ledger()
    order = data.draw(st.permutations(made) | st.just(made))
    kept = order[: data.draw(st.integers(0, len(made)) | st.just(len(made)))]
    if kept and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(kept) - 1))
        kept = [*kept[:at], kept[at]._replace(**data.draw(st.sampled_from(CHANGES))), *kept[at + 1 :]]
    if data.draw(st.booleans()):
        kept = chained(kept)
        snapshot = snapshot._replace(head=kept[-1].hash if kept else GENESIS)
    claimed = data.draw(
        st.just(snapshot)
        | st.none()
        | st.sampled_from([snapshot._replace(**{name: 0}) for name in ("seq", "posted", "shown")])
    )
    assert is_well(kept, claimed) == is_in_order(kept, claimed)


def test_whoever_knows_how_to_hash_must_keep_the_rules_too() -> None:
    made, snapshot = ledger()
    told = []
    for at in range(len(made)):
        tampered = [chained([*made[:at], made[at]._replace(**change), *made[at + 1 :]]) for change in CHANGES]
        for each in [*tampered, chained([*made[:at], *made[at + 1 :]])]:
            claimed = snapshot._replace(head=each[-1].hash, seq=each[-1].seq, posted=each[-1].balance_after)
            claimed = claimed._replace(held=each[-1].held_after, shown=claimed.posted)
            told.append(is_in_order(each, claimed))
            assert is_well(each, claimed) == told[-1]
    assert {True, False} == set(told)


def test_what_nobody_touched_is_well() -> None:
    made, snapshot = ledger()
    assert is_well(made, snapshot)
    assert is_well([], AccountSnapshot(USER, 0, 0, 0, bytes(32), 0))


def test_a_text_with_the_separator_in_it_is_looked_at_closely() -> None:
    made, snapshot = ledger()
    made = chained([made[0]._replace(actor="a\x01b"), *made[1:]])
    snapshot = snapshot._replace(head=made[-1].hash)
    assert is_in_order(made, snapshot)
    assert not is_well(made, snapshot)
