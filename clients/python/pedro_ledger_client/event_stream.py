"""Server-sent events, as far as the ledger uses them."""

from collections.abc import AsyncIterator

import aiohttp


async def events(content: aiohttp.StreamReader) -> AsyncIterator[tuple[str, str, str]]:
    """Name, id and data of each event; one that was cut is left out."""
    fields: dict[str, str] = {}
    async for raw in content:
        line = raw.decode().rstrip("\n")
        if line == "" and raw.endswith(b"\n"):
            if "event" in fields:
                yield fields["event"], fields.get("id", ""), fields.get("data", "")
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
