"""The page at /docs shows every route, in a real browser, from this daemon alone."""

import asyncio
import re
import shutil
from pathlib import Path

import pytest

from pedro_ledger.api.routes import ROUTES
from tests.support.client import Api
from tests.support.patience import PATIENCE_S

CHROMIUM = shutil.which("chromium")


async def test_the_page_lets_nothing_else_in(api: Api) -> None:
    page = await api.get("/docs", auth=None)
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.body.decode()):
        assert address.startswith("/"), f"{address} is elsewhere"
        assert (await api.get(address, auth=None)).status == 200
    script = (await api.get("/docs/page.js", auth=None)).body.decode()
    assert "innerHTML" not in script


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: chromium)")
async def test_a_browser_shows_every_route(api: Api, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={tmp_path}",
        "--virtual-time-budget=5000", "--dump-dom", f"{api.address}/docs",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE_S):
        out, _ = await process.communicate()
    shown = re.findall(
        r'<span class="method \w+">(\w+)</span><span class="path">([^<]+)</span><span>([^<]*)</span>', out.decode()
    )
    assert sorted(shown) == sorted((route.method, route.path, route.summary) for route in ROUTES)
