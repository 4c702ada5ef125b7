"""A real pgbouncer in transaction mode before the tests' server."""

import asyncio
import os
import pwd
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.databases import temporary_folder
from tests.support.patience import PATIENCE_S

CONFIGURATION = """
[databases]
* = host={socket} port=5432 user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {servers}
max_client_conn = 200
"""


@asynccontextmanager
async def pooler(direct_url: str, *, servers: int, more: str = "") -> AsyncIterator[str]:
    """The URL of the same database through a pooler that shares `servers` connections among all
    clients.

    `more` are further lines of its configuration.
    """
    program = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    parts = urlsplit(direct_url)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with temporary_folder() as folder:
        file = folder / "pgbouncer.ini"
        file.write_text(
            CONFIGURATION.format(socket=parse_qs(parts.query)["host"][0], port=port, servers=servers) + more
        )
        owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else None  # as the server: neither runs as root
        process = await asyncio.create_subprocess_exec(
            program, str(file), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            user=owner and owner.pw_uid, group=owner and owner.pw_gid, extra_groups=[] if owner else None,
        )  # fmt: skip
        assert process.stderr is not None
        try:
            told = b""
            async with asyncio.timeout(PATIENCE_S):
                while b"process up" not in told:
                    line = await process.stderr.readline()
                    assert line, told.decode()
                    told += line
            drain = asyncio.create_task(process.stderr.read())
            yield f"postgresql://app@127.0.0.1:{port}{parts.path}?pgbouncer=true"
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
        await drain
