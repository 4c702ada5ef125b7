"""Which of several hosts is connected to: the first that answers and is what the URL wants, as
libpq chooses it.
"""

from collections.abc import Awaitable, Callable
from random import shuffle

import asyncpg

from pedro_ledger.postgres.failures import CONNECTION_FAILURES
from pedro_ledger.postgres.sessions import Connection
from pedro_ledger.postgres.url import DatabaseUrl

PREFER_STANDBY = "prefer-standby"
_ASK = """-- What the server is.
SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on'"""


async def connect_to_first(url: DatabaseUrl, open_one: Callable[[int], Awaitable[Connection]]) -> Connection:
    """A connection to the first host that serves; `open_one` opens one to a host of the URL.

    Raises what the last host failed with, or `TargetServerAttributeNotMatched` where one answered
    and is not what is wanted.
    """
    places = list(range(len(url.hosts)))
    if url.load_balance_hosts:
        shuffle(places)
    wanted = url.target_session_attrs or "any"
    if wanted != PREFER_STANDBY:
        return await _first(places, wanted, open_one)
    try:
        return await _first(places, "standby", open_one)
    except (asyncpg.PostgresError, *CONNECTION_FAILURES):
        return await _first(places, "any", open_one)


async def _first(places: list[int], wanted: str, open_one: Callable[[int], Awaitable[Connection]]) -> Connection:
    failure: BaseException | None = None
    for place in places:
        connection: Connection | None = None
        try:
            connection = await open_one(place)
            if await _is(connection, wanted):
                return connection
            failure = asyncpg.TargetServerAttributeNotMatched(f"no host is {wanted}")
        except (asyncpg.CannotConnectNowError, *CONNECTION_FAILURES) as error:
            if not isinstance(failure, asyncpg.TargetServerAttributeNotMatched):
                failure = error
        except BaseException:
            if connection is not None:
                connection.terminate()
            raise
        if connection is not None:
            connection.terminate()
    assert failure is not None, "a URL has a host"
    raise failure


async def _is(connection: Connection, wanted: str) -> bool:
    """Whether the server is what is wanted.

    Costs a query only where it did not say so by itself.
    """
    if wanted == "any":
        return True
    reported = connection.get_settings()
    is_standby = getattr(reported, "in_hot_standby", None)
    is_read_only = getattr(reported, "default_transaction_read_only", None)
    if is_standby is None or is_read_only is None:
        row = await connection.fetchrow(_ASK)
        assert row is not None, "it has no FROM"
        is_standby, is_read_only = ("on" if each else "off" for each in row)
    match wanted:
        case "primary":
            return is_standby == "off"
        case "standby":
            return is_standby == "on"
        case "read-write":
            return (is_standby, is_read_only) == ("off", "off")
    return (is_standby, is_read_only) != ("off", "off")


def has_turned(connection: Connection) -> bool:
    """Whether the server has told since, with an answer, that it can be written to no more."""
    if connection.is_closed():
        return False
    reported = connection.get_settings()
    return "on" in {getattr(reported, "in_hot_standby", None), getattr(reported, "default_transaction_read_only", None)}
