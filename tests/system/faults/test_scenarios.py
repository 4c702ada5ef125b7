"""The quick set: every trial once, small. `make soak` runs the long one."""

import os
import sys
from collections.abc import AsyncIterator

import pytest

from tests.support.databases import temporary_folder
from tests.system.faults import scenarios as scenarios  # noqa: PLC0414 - fills SCENARIOS
from tests.system.faults.postgres import Cluster
from tests.system.faults.rig import SCENARIOS, report, try_out

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched through /proc")
SEED = int(os.environ.get("PEDRO_TEST_SEED", "1"))


@pytest.fixture(scope="module")
async def cluster() -> AsyncIterator[Cluster]:
    with temporary_folder() as folder:
        cluster = Cluster(folder)
        await cluster.make()
        yield cluster


@pytest.mark.parametrize("name", list(SCENARIOS))
async def test_nothing_is_lost_and_nothing_done_twice(cluster: Cluster, name: str) -> None:
    if reason := SCENARIOS[name].needs():
        pytest.skip(reason)
    outcome = await try_out(SCENARIOS[name], cluster, SEED)
    assert not outcome.found, report(outcome, 1)
    assert outcome.acknowledged > 0
    assert outcome.faults_injected > 0
