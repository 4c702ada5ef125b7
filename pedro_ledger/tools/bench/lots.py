"""Users with grants that end, for the row that deducts from them."""

from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection

import orjson

from pedro_ledger.tools.bench.loads import BenchError

LOTS = 8
CREDITS = 10_000_000
"""Of each grant: more than any run takes of one user, and within a balance beside what it has."""
LASTS_S = 30 * 86_400
BATCH = 500


def grant(port: int, api_key: str, users: Sequence[str]) -> None:
    """Grant each user `LOTS` times, through the daemon at `port`; again where that was done before.

    Raises `BenchError` where a grant is refused.
    """
    lines = [
        {
            "type": "grant", "user": user, "idempotencyKey": f"lot-{number}", "credits": CREDITS, "source": "promo",
            "expiresIn": LASTS_S + number,
        }
        for user in users
        for number in range(LOTS)
    ]  # fmt: skip
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for start in range(0, len(lines), BATCH):
            body = orjson.dumps({"operations": lines[start : start + BATCH]})
            connection.request("POST", "/v1/operations", body, {"Authorization": f"Bearer {api_key}"})
            answer = orjson.loads(connection.getresponse().read())
            refused = [each for each in answer.get("results", [answer]) if each.get("status") != 201]
            if refused:
                raise BenchError(f"a grant was refused: {refused[0]}")
