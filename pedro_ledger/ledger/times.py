"""Times as text: RFC 3339 in UTC with milliseconds, wherever people or programs read them."""

from datetime import UTC, datetime


def time_text(time: datetime) -> str:
    """A time as RFC 3339; the app's columns have no zone and are UTC."""
    naive = time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo is not None else time
    return naive.isoformat(timespec="milliseconds") + "Z"


def without_zone(time: datetime | None) -> datetime | None:
    """A time as the app's columns have it: UTC, without zone."""
    return time.astimezone(UTC).replace(tzinfo=None) if time is not None else None


_last_moment: tuple[int, str] = (0, "1970-01-01T00:00:00.000Z")


def moment_text(at_ms: int) -> str:
    """Milliseconds since 1970 as RFC 3339.

    Receipts of one batch share their moment, so the last one is kept.
    """
    global _last_moment  # noqa: PLW0603
    known, text = _last_moment
    if known != at_ms:
        text = time_text(datetime.fromtimestamp(at_ms / 1000, UTC))
        _last_moment = (at_ms, text)
    return text
