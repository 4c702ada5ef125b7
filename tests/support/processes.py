"""Daemons as processes of their own, started as an operator starts them."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from tests.support.client import API_KEY
from tests.support.patience import PATIENCE_S


class Served(NamedTuple):
    """A `pedro-ledger serve` that takes requests."""

    process: asyncio.subprocess.Process
    address: str
    printed: list[str]
    seconds: float
    """From the start of the process to its first request."""

    def peak_bytes(self) -> int:
        """The most memory that it has had resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    async def end(self, signal_number: int) -> int:
        if self.process.returncode is None:
            self.process.send_signal(signal_number)
        return await self.process.wait()


def environment(**changes: str | None) -> dict[str, str]:
    """This process's environment without settings, with those that are given."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PEDRO_") and name not in {"DATABASE_URL", "DIRECT_URL", "DATABASE_REPLICA_URL"}
    }
    # Tests serve as the server's owner unless they say otherwise.
    return kept | {"PEDRO_ALLOW_OWNER": "true"} | {name: value for name, value in changes.items() if value is not None}


async def command(*arguments: str, **variables: str | None) -> tuple[int, str, str]:
    """Run `pedro-ledger` to its end: exit status, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pedro_ledger", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment(**variables),
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def start(
    *arguments: str,
    module: str = "pedro_ledger",
    log: Path | None = None,
    at_terminal: bool = False,
    **variables: str | None,
) -> Served:
    """Start `pedro-ledger serve` and wait until it listens. Its log goes to the file `log`."""
    started = perf_counter()
    ours, theirs = os.openpty() if at_terminal else os.pipe()
    with log.open("ab") if log is not None else nullcontext(asyncio.subprocess.DEVNULL) as err:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, "serve", "--port", "0", *arguments,
            stdout=theirs, stderr=err,
            env=environment(**({"PEDRO_API_KEY": API_KEY} | variables)),
        )  # fmt: skip
    os.close(theirs)
    printed = await _printed(ours)
    addresses = [line.split()[-1] for line in printed if line.startswith("listening on")]
    assert addresses, f"serve ended with {await process.wait()}: {printed}"
    return Served(process, addresses[0], printed, perf_counter() - started)


async def _printed(descriptor: int) -> list[str]:
    """What a daemon prints until it listens, or ends."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    printed: list[str] = []
    try:
        async with asyncio.timeout(PATIENCE_S):
            while line := (await reader.readline()).decode().rstrip("\r\n"):
                printed.append(line)
                if line.startswith("try "):
                    break
    except OSError:
        pass  # how a terminal says that nobody writes to it any more
    finally:
        transport.close()
    return printed


@asynccontextmanager
async def served(*arguments: str, at_terminal: bool = False, **variables: str | None) -> AsyncIterator[Served]:
    """A daemon for the length of a block; killed at its end if it still runs."""
    daemon = await start(*arguments, at_terminal=at_terminal, **variables)
    try:
        yield daemon
    finally:
        if daemon.process.returncode is None:
            daemon.process.kill()
            await daemon.process.wait()


def data_dir_of(folder: Path) -> dict[str, str]:
    """The settings for an embedded server in `folder`."""
    return {"PEDRO_DATA_DIR": str(folder)}
