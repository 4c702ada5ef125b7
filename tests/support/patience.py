"""How tests wait: for what happens, for as long as it takes.

Time proves nothing on a machine that others use too.
"""

import asyncio
from collections.abc import Callable

PATIENCE_S = 120
"""Far longer than anything takes that happens at all.

It ends a test that hangs, and says nothing about speed.
"""
LOOK_AGAIN_S = 0.01


async def until(holds: Callable[[], object], what: str = "") -> None:
    """Look again and again until `holds` does; `what` is said where it never does."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                await asyncio.sleep(LOOK_AGAIN_S)
    except TimeoutError:
        raise AssertionError(what or "it did not happen") from None
