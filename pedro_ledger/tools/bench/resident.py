"""What a large ledger costs a daemon: the first touch of accounts after a restart, and the memory
of those it keeps.
"""

import secrets
from collections.abc import Callable
from statistics import median

from pedro_ledger.tools.bench.daemon_counts import read_counts
from pedro_ledger.tools.bench.generator import Job
from pedro_ledger.tools.bench.loads import BenchError, run_generator
from pedro_ledger.tools.bench.rig import Rig
from pedro_ledger.tools.bench.rows import Target

COLD_ACCOUNTS = 10_000
RESIDENT_ACCOUNTS = 100_000
CONNECTIONS = 64
KIB = 1024


def measure_resident(rig: Rig, repeats: int, on_run: Callable[[str], None]) -> dict[str, float]:
    """Facts by name.

    Each repeat restarts the daemon and touches accounts that no earlier one touched.
    """
    accounts = min(COLD_ACCOUNTS, rig.size_users // repeats)
    cold, warm = [], []
    for number in range(repeats):
        on_run(f"{number + 1} of {repeats}: first touch of {accounts:,} accounts")
        rig.restart(Target.SIZE_DAEMON)
        touched = range(number + 1, accounts * repeats + 1, repeats)
        cold.append(_touch(rig, "touched", touched, batch=1))
        warm.append(_touch(rig, "touched", touched, batch=1))
    facts = {
        "cold_rate": median(cold),
        "warm_rate": median(warm),
        "cold_to_warm_ratio": median(a / b for a, b in zip(cold, warm, strict=True)),
    }
    on_run(f"memory with {RESIDENT_ACCOUNTS:,} accounts")
    return facts | _memory(rig)


def _memory(rig: Rig) -> dict[str, float]:
    server = rig.server(Target.SIZE_DAEMON)
    before, resident_before = server.resident_bytes(), read_counts(server.port).accounts_resident
    last = rig.size_users
    more = min(RESIDENT_ACCOUNTS - resident_before, last - resident_before)
    if before is None or more < 1:
        return {}
    _touch(rig, "resident", range(last - more + 1, last + 1), batch=500)
    after, resident_after = server.resident_bytes(), read_counts(server.port).accounts_resident
    if after is None or resident_after <= resident_before:
        return {}
    return {
        "accounts_resident": resident_after,
        "daemon_resident_mib": after / KIB**2,
        "account_resident_kib": (after - before) / (resident_after - resident_before) / KIB,
    }


def _touch(rig: Rig, name: str, users: range, *, batch: int) -> float:
    """One deduct for each of `users`; operations a second."""
    file = rig.write_users(name, users)
    job = Job(
        port=rig.server(Target.SIZE_DAEMON).port,
        connections=CONNECTIONS if batch == 1 else 6,
        users_file=str(file),
        api_key=rig.api_key,
        key_prefix=secrets.token_hex(6),
        passes=1,
        batch=batch,
    )
    loaded = run_generator(job)
    if loaded.errors:
        raise BenchError(f"touching {len(users)} accounts met errors: {loaded.errors}")
    return loaded.operations / loaded.seconds
