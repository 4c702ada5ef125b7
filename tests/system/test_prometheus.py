"""The alerts fire when they should, on metrics that the daemon really has, scraped by a real
Prometheus.
"""

import asyncio
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.support.client import Api
from tests.support.patience import LOOK_AGAIN_S, PATIENCE_S
from tests.support.places import ROOT

CONFIG = ROOT / "config" / "prometheus"
needs_prometheus = pytest.mark.skipif(
    shutil.which("promtool") is None or shutil.which("prometheus") is None,
    reason="promtool and prometheus are not installed (Debian: prometheus)",
)


async def promtool(*arguments: str, given: bytes = b"") -> str:
    process = await asyncio.create_subprocess_exec(
        "promtool", *arguments, cwd=CONFIG,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate(given)
    assert process.returncode == 0, out.decode()
    return out.decode()


@needs_prometheus
async def test_each_alert_fires_when_it_should() -> None:
    await promtool("check", "config", "prometheus.yml")
    await promtool("test", "rules", "alerts_test.yml")
    alerts = {rule["alert"] for rule in yaml.safe_load((CONFIG / "alerts.yml").read_text())["groups"][0]["rules"]}
    tested = (CONFIG / "alerts_test.yml").read_text()
    assert {alert for alert in alerts if alert not in tested} == set()


async def test_alerts_name_metrics_that_exist(api: Api) -> None:
    await api.deduct(await api.user(), 1)
    exposed = (await api.get("/metrics", auth=None)).body.decode()
    for name in set(re.findall(r"pedro_ledger_\w+", (CONFIG / "alerts.yml").read_text())):
        assert re.search(rf"^(# TYPE )?{name}\b", exposed, re.MULTILINE), f"{name} is in no scrape"


async def test_whether_it_is_ready_is_a_metric(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert b"\npedro_ledger_ready 1.0\n" in (await api.get("/metrics", auth=None)).body
    monkeypatch.setattr(api.parts.engine, "is_draining", True)
    assert b"\npedro_ledger_ready 0.0\n" in (await api.get("/metrics", auth=None)).body


@needs_prometheus
async def test_the_metrics_are_in_good_form(api: Api) -> None:
    await api.deduct(await api.user(), 1)
    await promtool("check", "metrics", given=(await api.get("/metrics", auth=None)).body)


async def is_ready(address: str, process: asyncio.subprocess.Process) -> None:
    """Until it says so: it answers 503 to everything while it reads its storage, and nothing
    before.
    """
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
        while True:
            assert process.returncode is None, "prometheus ended"
            with suppress(aiohttp.ClientConnectionError):
                async with session.get(f"{address}/-/ready") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(LOOK_AGAIN_S)


@asynccontextmanager
async def prometheus(folder: Path, target: str) -> AsyncIterator[str]:
    """A server that scrapes `target` every second, with the alerts of the repository."""
    configuration = yaml.safe_load((CONFIG / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration["rule_files"] = [str(CONFIG / "alerts.yml")]
    configuration["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = await asyncio.create_subprocess_exec(
        "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}", "--log.level=error",
    )  # fmt: skip
    try:
        await is_ready(f"http://{address}", process)
        yield f"http://{address}"
    finally:
        process.terminate()
        await process.wait()


@needs_prometheus
async def test_a_real_prometheus_scrapes_it(api: Api, tmp_path: Path) -> None:
    await api.deduct(await api.user(), 1)
    query = {"query": 'sum(pedro_ledger_operations_total{job="pedro_ledger", type="deduct", outcome="applied"})'}
    async with prometheus(tmp_path, api.address.removeprefix("http://")) as address, asyncio.timeout(PATIENCE_S):
        found: list[dict[str, Any]] = []
        while not found:
            async with api.session.get(f"{address}/api/v1/query", params=query) as response:
                assert response.status == 200, await response.text()
                found = (await response.json())["data"]["result"]
            await asyncio.sleep(LOOK_AGAIN_S)
        assert found[0]["value"][1] == "1"
        async with api.session.get(f"{address}/api/v1/rules") as response:
            rules = (await response.json())["data"]["groups"][0]["rules"]
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
