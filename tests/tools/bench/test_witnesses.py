"""What the bench reads of the processes under test: their counters, their CPU, their profile."""

import asyncio
import os
import time
from urllib.parse import urlsplit

import pytest

from pedro_ledger.tools.bench.daemon_counts import Counts, read_counts
from pedro_ledger.tools.bench.figures import Sample
from pedro_ledger.tools.bench.processes import Server, cpu_s, family_cpu_s
from pedro_ledger.tools.bench.profiling import read_profile
from tests.support.client import Api


async def test_the_daemon_bears_witness(api: Api) -> None:
    port = urlsplit(api.address).port
    assert port is not None
    user = await api.user(100)
    before = await asyncio.to_thread(read_counts, port)
    assert (await api.deduct(user, 1, key="once")).status == 201
    assert (await asyncio.to_thread(read_counts, port)).errors_since(before) == {}
    assert (await api.deduct(user, 1, key="once")).status == 201
    assert (await api.deduct(user, 1000)).status == 402
    after = await asyncio.to_thread(read_counts, port)
    assert after.errors_since(before) == {"answered_402": 1, "replayed": 1}
    assert after.accounts_resident >= 1


def test_errors_before_the_run_are_not_the_runs() -> None:
    before = Counts({"201": 5, "503": 2}, 1, 0)
    assert Counts({"201": 9, "503": 2}, 1, 0).errors_since(before) == {}


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="there is no /proc")
def test_cpu_is_that_of_the_process(echo: Server) -> None:
    outer = time.process_time()
    before = cpu_s(os.getpid())
    inner = time.process_time()
    while time.process_time() - inner < 0.1:
        pass
    inner_s = time.process_time() - inner
    after = cpu_s(os.getpid())
    outer_s = time.process_time() - outer
    assert before is not None
    assert after is not None
    assert inner_s <= after - before <= outer_s
    own, child = cpu_s(os.getpid()), echo.cpu_s()
    family = family_cpu_s(os.getpid())
    assert family is not None
    assert own is not None
    assert child is not None
    assert family >= own + child > own


def test_a_profile_says_where_and_why() -> None:
    sample = Sample(10, 1.0, None, {})
    stacks = (
        "run (pedro_ledger/cli/main.py:3);_handle (aiohttp/web_app.py:9);deduct (/x/pedro_ledger/api/credits.py:7);loads (orjson.so) 3\n"
        "run (pedro_ledger/cli/main.py:3);_handle (aiohttp/web_app.py:9) 1\n"
    )
    profile = read_profile("hot", "a tool", stacks, sample)
    assert profile.samples == 4
    assert profile.by_place == [("orjson", 0.75), ("aiohttp", 0.25)]
    assert profile.by_cause == [("deduct (api/credits.py)", 0.75), ("event loop and aiohttp", 0.25)]
    assert profile.by_function[0] == ("loads (orjson.so)", 0.75)
