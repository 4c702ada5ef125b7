"""Our own load generator: closed-loop HTTP connections on a raw asyncio protocol, no pipelining,
requests joined from bytes made before.

A process of its own: `python -m pedro_ledger.tools.bench.generator`, the job as JSON on standard
input, what came of it as JSON on standard output. Used where wrk is not installed, and for what wrk
does not do: batches, whose answers must be looked into, and loads of a certain number of
operations.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import orjson

from pedro_ledger.tools.bench.figures import Latency

RAMP_SHARE = 0.1
"""The first part of a timed load is not counted: connections open, batches fall into step."""
DRAIN_S = 20.0
"""An answer that is still awaited at the end may take so long; then it counts as an error."""
HELD, CAPTURED = 3, 1
"""Credits of a hold, and of its capture."""
CREATED = b"201"
OK = b"200"


@dataclass(frozen=True, slots=True)
class Job:
    """What to send.

    Timed with `seconds`; with `passes` instead, every user in turn, so many times.
    """

    port: int
    connections: int
    users_file: str
    api_key: str
    key_prefix: str
    seconds: float | None = None
    passes: int | None = None
    batch: int = 1
    """Operations in a request; above 1 they go to `/v1/operations`."""
    pairs: bool = False
    """Whether each operation is a hold and its final capture, one request after the other."""
    details_bytes: int = 0
    """Length of a text in the details of each operation; 0 leaves the details out."""


@dataclass(slots=True)
class GeneratorResult:
    """What came of a job."""

    operations: int
    """Operations of the counted part."""
    seconds: float
    """Length of the counted part."""
    operations_in_all: int
    latency_ms: Latency
    errors: dict[str, int]


_CAPTURE_BODY = b'{"credits":%d}' % CAPTURED
_CAPTURE_TAIL = b"\r\nContent-Length: %d\r\n\r\n" % len(_CAPTURE_BODY) + _CAPTURE_BODY


class Requests:
    """Makes the bytes of one request after the other; None when there are no more."""

    def __init__(self, job: Job) -> None:
        users = Path(job.users_file).read_text().split()
        self._batch = job.batch
        self._numbers = count(1)
        self._tail = self._constant_tail(job)
        self._capture_head = (
            f" HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {job.api_key}\r\nContent-Type: application/json"
            f"\r\nIdempotency-Key: {job.key_prefix}-c"
        ).encode()
        make = self._batch_piece if job.batch > 1 else self._head
        self._pieces = [make(user, job) for user in users]
        self._in_turn = iter(self._pieces * job.passes) if job.passes is not None else None
        self._batch_head = (
            b"POST /v1/operations HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + job.api_key.encode()
        ) + b"\r\nContent-Type: application/json\r\nContent-Length: "

    def next(self) -> tuple[bytes, int] | None:
        """A request and how many operations it holds."""
        in_turn = self._in_turn
        drawn = random.choices(self._pieces, k=self._batch) if in_turn is None else islice(in_turn, self._batch)  # noqa: S311
        pieces = list(drawn)
        if not pieces:
            return None
        if self._batch == 1:
            return pieces[0] + b"%d" % next(self._numbers) + self._tail, 1
        body = b'{"operations":[' + b",".join([piece % next(self._numbers) for piece in pieces]) + b"]}"
        return self._batch_head + b"%d\r\n\r\n" % len(body) + body, len(pieces)

    def capture(self, receipt: bytes) -> bytes:
        """The final capture of a third of the hold that a receipt tells of."""
        at = receipt.index(b'"entryId":"') + 11
        hold = receipt[at : at + 26]
        return b"POST /v1/holds/" + hold + b"/capture" + self._capture_head + hold + _CAPTURE_TAIL

    @staticmethod
    def _constant_tail(job: Job) -> bytes:
        credits = HELD if job.pairs else 1
        body = f'{{"operationType":"AI_TEXT_CHAT","credits":{credits}{_details(job)}}}'.encode()
        return b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    @staticmethod
    def _head(user: str, job: Job) -> bytes:
        return (
            f"POST /v1/users/{user}/{'holds' if job.pairs else 'deduct'} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {job.api_key}"
            f"\r\nContent-Type: application/json\r\nIdempotency-Key: {job.key_prefix}-"
        ).encode()

    @staticmethod
    def _batch_piece(user: str, job: Job) -> bytes:
        return (
            f'{{"type":"deduct","user":"{user}","operationType":"AI_TEXT_CHAT","credits":1,'
            f'"idempotencyKey":"{job.key_prefix}-%d"{_details(job)}}}'
        ).encode()


def _details(job: Job) -> str:
    return f',"details":{{"text":"{"x" * job.details_bytes}"}}' if job.details_bytes else ""


class Load:
    """One job under way: what its connections share."""

    def __init__(self, job: Job, clock: Callable[[], float] = perf_counter) -> None:
        self.job = job
        self.clock = clock
        self.errors: Counter[str] = Counter()
        self.open = 0
        self.finished = asyncio.Event()
        self.requests = Requests(job)
        self._answers: list[tuple[float, float, int]] = []
        self._started = 0.0

    async def run(self) -> GeneratorResult:
        """Open the connections and keep them busy until the job is done."""
        loop = asyncio.get_running_loop()
        self._started = self.clock()
        for _ in range(self.job.connections):
            try:
                await loop.create_connection(lambda: Exchange(self), "127.0.0.1", self.job.port)
            except OSError:
                self.errors["connect"] += 1
        if self.open:
            try:
                async with asyncio.timeout((self.job.seconds or 600) + DRAIN_S):
                    await self.finished.wait()
            except TimeoutError:
                self.errors["timeout"] += self.open
        return self._outcome()

    def next_request(self) -> tuple[bytes, int] | None:
        """The next request and its operations; None once the job is done."""
        if self.job.seconds is not None and self.clock() - self._started >= self.job.seconds:
            return None
        return self.requests.next()

    def answered(self, sent_at: float, status: bytes, body: bytes, operations: int) -> None:
        """An answer came in whole."""
        now = self.clock()
        if self.job.batch == 1:
            self.errors["status"] += status != CREATED
        else:
            applied = body.count(b'"status":201') if status == OK else 0
            self.errors["status"] += operations - applied
            self.errors["replayed"] += body.count(b'"replayed":true')
        self._answers.append((now, now - sent_at, operations))

    def closed(self) -> None:
        """A connection is gone."""
        self.open -= 1
        if self.open == 0:
            self.finished.set()

    def _outcome(self) -> GeneratorResult:
        answers = self._answers
        in_all = sum(operations for _, _, operations in answers)
        errors = {name: number for name, number in self.errors.items() if number}
        begin, end = self._started, self._started + (self.job.seconds or float("inf"))
        if self.job.seconds is not None:
            ramp = self._started + self.job.seconds * RAMP_SHARE
            # From one answer to another: answers of one commit come together, and half of them must
            # not be cut off.
            begin = max((at for at, _, _ in answers if at <= ramp), default=begin)
        counted = [answer for answer in answers if begin < answer[0] <= end]
        if not counted and answers:  # so slow that none came within its time
            begin, counted = self._started, answers
        if not counted:
            return GeneratorResult(0, 1.0, in_all, Latency(0, 0, 0), errors | {"nothing_done": 1})
        return GeneratorResult(
            sum(operations for _, _, operations in counted),
            counted[-1][0] - begin,
            in_all,
            Latency.of(latency for _, latency, _ in counted),
            errors,
        )


class Exchange(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._sent_at = 0.0
        self._operations = 0
        self._is_held = False
        """Whether what is awaited is the capture of a pair."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._load.open += 1
        self._send()

    def data_received(self, data: bytes) -> None:
        """Go on once the answer is whole."""
        buffer = self._buffer + data if self._buffer else data
        split = buffer.find(b"\r\n\r\n")
        if split < 0 or len(buffer) < split + 4 + content_length(buffer[:split]):
            self._buffer = buffer
            return
        self._buffer = b""
        if self._load.job.pairs and not self._is_held and buffer[9:12] == CREATED:
            self._is_held = True
            self._transport.write(self._load.requests.capture(buffer[split + 4 :]))
            return
        self._is_held = False
        operations, self._operations = self._operations, 0
        self._load.answered(self._sent_at, buffer[9:12], buffer[split + 4 :], operations)
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """Say so; an answer that was still awaited is an error."""
        if self._operations:
            self._load.errors["read"] += self._operations
        self._load.closed()

    def _send(self) -> None:
        request = self._load.next_request()
        if request is None:
            self._transport.close()
            return
        data, self._operations = request
        self._sent_at = self._load.clock()
        self._transport.write(data)


def content_length(head: bytes) -> int:
    """The length of the body that a response's head announces; 0 where it announces none."""
    at = head.find(b"Content-Length: ")
    if at < 0:
        return 0
    return int(head[at + 16 :].split(b"\r", 1)[0])


def main() -> None:
    """The process."""
    job = Job(**orjson.loads(sys.stdin.buffer.read()))
    sys.stdout.write(orjson.dumps(asdict(_run(job)), default=list).decode() + "\n")


def _run(job: Job) -> GeneratorResult:
    async def load() -> GeneratorResult:
        return await Load(job).run()

    loop_factory: Any = None
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415 - not there on Windows

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(load())


if __name__ == "__main__":
    main()
