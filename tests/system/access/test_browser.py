"""The call of `docs/access.md` in a real browser: a page of one origin reads a customer's balance
from the daemon at another, where the settings allow its origin.
"""

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.patience import PATIENCE_S
from tests.support.places import ROOT
from tests.system.access.test_customers import Clerk, clerk, daemon, token

__all__ = ["clerk"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (Debian: chromium)")


def shown_call(page: str = "access.md") -> str:
    (snippet,) = re.findall(r"```js\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    return str(snippet)


class Page:
    """A page of its own origin that makes the call, and tells its own server what came of it."""

    def __init__(self) -> None:
        self.script = ""
        self.told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def serve(self, request: web.BaseRequest) -> web.Response:
        if request.method == "POST":
            self.told.set_result(await request.json())
            return web.Response()
        page = f"<!doctype html><script type=module>{self.script}</script>" if request.path == "/" else ""
        return web.Response(text=page, content_type="text/html")


@asynccontextmanager
async def page() -> AsyncIterator[tuple[Page, str]]:
    shown = Page()
    runner = web.ServerRunner(web.Server(shown.serve))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield shown, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@asynccontextmanager
async def browsing(url: str) -> AsyncIterator[None]:
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", f"--user-data-dir={Path(profile)}", "--remote-debugging-port=0", url,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield
        finally:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_page_reads_its_customers_balance(database_url: str, clerk: Clerk, allowed: bool) -> None:
    async with page() as (shown, origin):
        origins = origin if allowed else "https://app.example.com"
        settings = {"clerk_authorized_parties": origin, "cors_origins": origins}
        async with daemon(database_url, clerk, **settings) as api:
            await api.post("/v1/users", {"clerkId": "ana"})
            shown.script = f"""
                const ledger = "{api.address}", session = {{ getToken: async () => "{token(azp=origin)}" }};
                let told;
                try {{ {shown_call()} told = {{ creditsRemaining }}; }} catch (error) {{ told = {{ error: error.name }}; }}
                await fetch("/", {{ method: "POST", body: JSON.stringify(told) }});"""
            async with browsing(origin), asyncio.timeout(PATIENCE_S):
                told = await shown.told
    assert told == ({"creditsRemaining": 100} if allowed else {"error": "TypeError"})


async def test_a_page_sees_its_customers_balance_move(database_url: str, clerk: Clerk) -> None:
    async with (
        page() as (shown, origin),
        daemon(database_url, clerk, clerk_authorized_parties=origin, cors_origins=origin) as api,
    ):
        user = (await api.post("/v1/users", {"clerkId": "ana"})).json["id"]
        shown.script = f"""
                {shown_call("live-balance.md")}
                const stop = new AbortController(), seen = [];
                followBalance("{api.address}", async () => "{token(azp=origin)}", async (balance) => {{
                  seen.push(balance.creditsRemaining);
                  if (seen.at(-1) === 60) {{
                    stop.abort();
                    await fetch("/", {{ method: "POST", body: JSON.stringify(seen) }});
                  }}
                }}, stop.signal);"""
        async with browsing(origin), asyncio.timeout(PATIENCE_S):
            while not api.parts.streams.count:
                await asyncio.sleep(0.01)
            await api.deduct(user, 40)
            told = await shown.told
    assert told == [100, 60]
