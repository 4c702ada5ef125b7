"""Clients that do not wait for their answer."""

import asyncio

import orjson

from tests.system.faults.crowd import HEADERS, body_of
from tests.system.faults.journal import Ask
from tests.system.faults.rig import Rig, scenario

AT_ONCE = 48


@scenario("never half applied; a retry gives the original")
async def clients_hang_up(rig: Rig) -> None:
    """1,000 times in the quick set, 10,000 from scale 10 on: in the middle of the request, or
    before its answer.
    """
    server = await rig.server()
    await rig.daemon(server.url())
    users = await rig.users(12, credits=20_000)
    left = rig.times(1000)
    async with rig.crowd(users, singles=2, batchers=0, abandon=0) as crowd:

        async def hang_up() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                asks = [
                    Ask(rig.random.choice(users), f"h-{left}-{n}", "deduct", 1)
                    for n in range(rig.random.choice([1, 1, 20]))
                ]
                rig.journal.sent(asks)
                await _send_and_leave(rig, asks)
                rig.faults_injected += 1
                await crowd.pursue(asks)

        await asyncio.gather(*(hang_up() for _ in range(AT_ONCE)))
        await crowd.flow(100)


async def _send_and_leave(rig: Rig, asks: list[Ask]) -> None:
    """A request, or a part of it, and the end of the connection, by FIN or by RST, some
    milliseconds later.
    """
    request = _wire(asks)
    if rig.random.random() < 0.3:
        request = request[: rig.random.randrange(1, len(request))]
    host, port = rig.address().removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    await writer.drain()
    await asyncio.sleep(rig.random.choice([0, 0, 0.001, 0.005, 0.02]))
    if rig.random.random() < 0.5:
        writer.transport.abort()
    writer.close()


def _wire(asks: list[Ask]) -> bytes:
    """The asks as one HTTP request."""
    if len(asks) == 1:
        path, body, key = f"/v1/users/{asks[0].user}/deduct", body_of(asks[0]), [f"Idempotency-Key: {asks[0].key}"]
    else:
        path, key = "/v1/operations", []
        lines = [{"type": ask.type, "user": ask.user, "idempotencyKey": ask.key, **body_of(ask)} for ask in asks]
        body = {"operations": lines}
    content = orjson.dumps(body)
    head = [f"POST {path} HTTP/1.1", "Host: ledger", *(f"{name}: {value}" for name, value in HEADERS.items()), *key]
    return "\r\n".join([*head, f"Content-Length: {len(content)}", "", ""]).encode() + content
