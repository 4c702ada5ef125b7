"""What is told of a loop that was kept busy, and that the daemon has it told."""

import asyncio

from pedro_ledger.daemon.lag_probe import PROBE_EVERY_S, LagProbe
from tests.support.client import Api
from tests.support.patience import until


async def test_it_tells_how_late_the_loop_was() -> None:
    told: list[float] = []
    now = 100.0
    probe = LagProbe(told.append, lambda: now)
    probe.start()
    now += PROBE_EVERY_S
    probe.probe()
    now += PROBE_EVERY_S + 0.75
    probe.probe()
    now += PROBE_EVERY_S / 2  # the clocks of the loop and the machine are not one
    probe.probe()
    await probe.stop()
    assert [round(lag, 6) for lag in told] == [0, 0.75, 0]


async def test_it_goes_on_by_itself_until_it_is_stopped() -> None:
    told: list[float] = []
    probe = LagProbe(told.append)
    probe.start()
    await until(lambda: len(told) >= 3)
    await probe.stop()
    count = len(told)
    await asyncio.sleep(2 * PROBE_EVERY_S)
    assert len(told) == count


async def test_the_daemon_measures_it(api: Api) -> None:
    def measured() -> float:
        value = api.parts.metrics.registry.get_sample_value("pedro_ledger_event_loop_lag_seconds_count")
        assert value is not None
        return value

    await until(lambda: measured() > 0)
