"""What nginx sends again when a replica breaks off: only what is applied once however often it
comes.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.system.replicas.nginx import NGINX, nginx

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: nginx-light)")


@pytest.fixture
async def breaking_off(tmp_path: Path) -> AsyncIterator[tuple[str, list[bytes]]]:
    """An nginx before three servers that read a request and hang up, and the heads that they have
    read.
    """
    heads: list[bytes] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    tmp_path.chmod(0o711)
    async with AsyncExitStack() as stack:
        servers = [await asyncio.start_server(hang_up, "127.0.0.1", 0) for _ in range(3)]
        for server in servers:
            stack.callback(server.close)
        replicas = [f"127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in servers]
        yield await stack.enter_async_context(nginx(tmp_path, replicas)), heads


@pytest.mark.parametrize(
    ("method", "path", "times"),
    [
        ("POST", "/v1/users/u/deduct", 2),
        ("POST", "/v1/users/u/refund", 2),
        ("POST", "/v1/users/u/grants", 2),
        ("POST", "/v1/operations", 2),
        ("POST", "/v1/users", 2),
        ("POST", "/v1/webhooks/clerk", 2),
        ("GET", "/v1/users/u/balance", 2),
        ("POST", "/v1/plans", 1),
        ("POST", "/v1/features", 1),
        ("POST", "/v1/storage-objects", 1),
        ("POST", "/v1/subscription-events", 1),
        ("PATCH", "/v1/users/u", 1),
    ],
)
async def test_only_what_is_applied_once_is_sent_again(
    breaking_off: tuple[str, list[bytes]], method: str, path: str, times: int
) -> None:
    address, heads = breaking_off
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, address + path, headers={"X-Request-Id": "mine"}) as response,
    ):
        assert response.status == 502
    assert len(heads) == times
    assert all(b"X-Request-Id: mine\r\n" in head for head in heads)
