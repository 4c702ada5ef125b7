"""What a daemon itself says of the requests it answered: the second witness that a load had no
errors.
"""

import http.client
import re
from typing import NamedTuple

_REQUESTS = re.compile(r'^pedro_ledger_http_requests_total\{method="POST",route="[^"]*",status="(\d+)"\} (\S+)$', re.M)
_REPLAYS = re.compile(r"^pedro_ledger_replays_total (\S+)$", re.M)
_RESIDENT = re.compile(r"^pedro_ledger_accounts_resident (\S+)$", re.M)
SUCCESS = {"200", "201"}


class Counts(NamedTuple):
    """Since the daemon's start."""

    by_status: dict[str, int]
    """POST requests."""
    replays: int
    accounts_resident: int
    """Now."""

    def errors_since(self, earlier: "Counts") -> dict[str, int]:
        """What should not have been among the answers given since `earlier`."""
        found = {
            f"answered_{status}": number - earlier.by_status.get(status, 0)
            for status, number in self.by_status.items()
            if status not in SUCCESS
        }
        found["replayed"] = self.replays - earlier.replays
        return {name: number for name, number in found.items() if number}


def read_counts(port: int) -> Counts:
    """Ask the daemon's `/metrics`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return parse_counts(connection.getresponse().read().decode())
    finally:
        connection.close()


def parse_counts(text: str) -> Counts:
    """Read the Prometheus text format; what is not there counts as none."""
    by_status: dict[str, int] = {}
    for status, value in _REQUESTS.findall(text):
        by_status[status] = by_status.get(status, 0) + int(float(value))
    return Counts(by_status, _last(_REPLAYS, text), _last(_RESIDENT, text))


def _last(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.search(text)
    return int(float(found[1])) if found else 0
