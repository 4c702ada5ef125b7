"""A real nginx with the repository's configuration, in front of daemons that listen elsewhere."""

import asyncio
import re
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.patience import PATIENCE_S
from tests.support.places import ROOT

CONFIGURATION = ROOT / "config" / "nginx.conf"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def configured(port: int, replicas: Sequence[str], folder: Path, *, affinity: bool) -> str:
    """The configuration with these addresses (`host:port`), all its files in `folder`; without
    affinity any replica takes any request.
    """
    text = CONFIGURATION.read_text()
    servers = iter(replicas)
    text, count = re.subn(r"server 127\.0\.0\.1:\d+", lambda _: f"server {next(servers)}", text)
    assert count == len(replicas), f"the configuration has {count} replicas"
    text = text.replace("listen 127.0.0.1:8080", f"listen 127.0.0.1:{port}")
    if not affinity:
        text = text.replace("hash $ledger_user consistent;", "random;")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    return text.replace("http {\n", f"http {{\n{paths}", 1)


@asynccontextmanager
async def nginx(folder: Path, replicas: Sequence[str], *, affinity: bool = True) -> AsyncIterator[str]:
    """The address of an nginx before `replicas`."""
    assert NGINX is not None, "nginx is installed"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "nginx.conf").write_text(configured(port, replicas, folder, affinity=affinity))
    process = await asyncio.create_subprocess_exec(
        NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    assert process.returncode is None, "nginx ended"
                    await asyncio.sleep(0.01)
                else:
                    writer.close()
                    break
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()
