"""Several operations about one hold in one unit, of which nothing is stored yet."""

from pedro_ledger.ledger.account import Account
from pedro_ledger.ledger.decide import Facts
from pedro_ledger.ledger.entries import Entry
from pedro_ledger.ledger.holds import hold_id
from pedro_ledger.ledger.operations import Capture, Grant, Hold
from pedro_ledger.ledger.originals import original_of
from pedro_ledger.ledger.units import Refused, Unit

NOW_MS = 1_800_000_000_000


def entries_of(unit: Unit[str]) -> list[Entry]:
    return [*unit.booked, *[each for _, each in unit.decided if isinstance(each, Entry)]]


def test_work_that_outlived_its_lease_is_billed_once_also_within_a_unit() -> None:
    """Nothing else is open on the account, so that nothing else makes the unit look."""
    first: Unit[str] = Unit(Account.new("ana"), Facts(), NOW_MS)
    first.add("grant", Grant("g", "key", 100, "topup"))
    first.add("hold", Hold("h", "key", "AI_TEXT_CHAT", 10, lease_s=5))
    made = entries_of(first)[-1]
    held = first.after.open
    assert held is not None
    name = hold_id(first.after, held.holds[0])
    lapsed: Unit[str] = Unit(first.after, Facts(), NOW_MS + 6_000)
    lapsed.add("deduct", Grant("g2", "key", 1, "topup"))
    assert lapsed.after.open is None
    [lapse] = lapsed.booked
    original = original_of(made, [lapse], [])
    late: Unit[str] = Unit(lapsed.after, Facts(originals={made.seq: original}), NOW_MS + 7_000)
    for number in (1, 2):
        late.add(str(number), Capture(f"c{number}", "key", name, made.seq, 7, overage="allow"))
    (_, billed), (_, again) = late.decided
    assert isinstance(billed, Entry)
    assert billed.credits == -7
    assert isinstance(again, Refused)
    assert late.after.posted == 94
