"""What follows from the news of a billing period, in whatever order they come."""

from datetime import UTC, datetime, timedelta
from itertools import permutations, product

from pedro_ledger.ledger.billing import PaymentEvent, PeriodNews

AT = datetime(2026, 11, 1, 13, 0, 0, tzinfo=UTC)
PAID, UNDONE, REFUNDED = PaymentEvent.PAID, PaymentEvent.UNDONE, PaymentEvent.REFUNDED
News = tuple[PaymentEvent, datetime, int]


def is_paid(chain: tuple[News, ...]) -> bool:
    """By the rule of the column `is_owed`."""
    news = PeriodNews()
    for event in chain:
        news = news.after(*event)
    return (
        news.paid_at is not None
        and news.refunded_at is None
        and (news.undone_at is None or news.paid_at > news.undone_at)
    )


def test_the_newest_news_count_in_whatever_order_and_however_often_they_come() -> None:
    moments = [(AT, 9), (AT, 10), (AT + timedelta(seconds=1), 11)]
    for kinds in product((PAID, UNDONE), repeat=3):
        chain = [(kind, *moment) for kind, moment in zip(kinds, moments, strict=True)]
        for order in permutations([*chain, chain[0], chain[2]]):
            assert is_paid(order) is (kinds[-1] is PAID), order


def test_news_of_one_second_without_numbers_leave_the_money_contested() -> None:
    for order in permutations([(PAID, AT, 0), (UNDONE, AT, 0), (PAID, AT, 0)]):
        assert not is_paid(order)


def test_a_refund_is_final() -> None:
    for order in permutations([(PAID, AT + timedelta(days=1), 3), (REFUNDED, AT, 2), (UNDONE, AT, 1)]):
        assert not is_paid(order)


def test_a_start_within_a_second_keeps_its_milliseconds() -> None:
    at = AT + timedelta(milliseconds=250)
    assert PeriodNews().after(PAID, at, 0).after(PAID, AT, 0).paid_at == at
