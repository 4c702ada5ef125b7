import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import orjson
import pytest

from pedro_ledger.tools.bench.generator import Exchange, Load, Requests, content_length
from pedro_ledger.tools.bench.loads import BenchError, parse_wrk, run_generator, run_wrk
from pedro_ledger.tools.bench.processes import Server
from tests.tools.bench.conftest import job_for

WRK = shutil.which("wrk")
ANSWER = b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nbody"


def test_every_request_has_a_key_of_its_own(users_file: Path) -> None:
    requests = Requests(job_for(1, users_file, passes=2))
    made = []
    while (request := requests.next()) is not None:
        made.append(request[0])
    keys = [request.split(b"Idempotency-Key: ")[1].split(b"\r")[0] for request in made]
    assert keys == [b"p-1", b"p-2", b"p-3", b"p-4", b"p-5", b"p-6"]
    assert [request.split(b" ")[1].split(b"/")[3] for request in made] == [b"ana", b"bia", b"cleo"] * 2


def test_a_batch_is_the_json_that_the_contract_takes(users_file: Path) -> None:
    requests = Requests(job_for(1, users_file, passes=1, batch=2))
    first, second, end = requests.next(), requests.next(), requests.next()
    assert first is not None
    assert second is not None
    assert end is None
    head, body = first[0].split(b"\r\n\r\n")
    assert content_length(head) == len(body)
    operations = orjson.loads(body)["operations"]
    assert operations[1] == {
        "type": "deduct", "user": "bia", "operationType": "AI_TEXT_CHAT", "credits": 1, "idempotencyKey": "p-2",
    }  # fmt: skip
    assert (first[1], second[1]) == (2, 1)


class Wire(asyncio.Transport):
    """Takes what a connection sends."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.is_closed = True


def exchange(users_file: Path, clock: Callable[[], float] = perf_counter, **job: object) -> tuple[Load, Exchange, Wire]:
    load, wire = Load(job_for(1, users_file, **job), clock), Wire()
    connection = Exchange(load)
    connection.connection_made(wire)
    return load, connection, wire


async def test_an_answer_may_come_in_pieces(users_file: Path) -> None:
    load, connection, wire = exchange(users_file, passes=1)
    for place in range(len(ANSWER)):
        assert len(wire.sent) == 1, "no request before the whole answer"
        connection.data_received(ANSWER[place : place + 1])
    assert len(wire.sent) == 2
    assert load._outcome().operations == 1


async def test_a_pair_is_a_hold_and_its_capture(users_file: Path) -> None:
    load, connection, wire = exchange(users_file, passes=1, pairs=True)
    hold = "01KB3Z0S0KABCDEFGHJK000003"
    body = b'{"entryId":"%b","userId":"ana"}' % hold.encode()
    connection.data_received(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert load._outcome().operations == 0, "half a pair is none"
    first, second = [sent.split(b" ")[1].decode() for sent in wire.sent]
    assert (first, second) == ("/v1/users/ana/holds", f"/v1/holds/{hold}/capture")
    assert orjson.loads(wire.sent[0].split(b"\r\n\r\n")[1])["credits"] == 3
    head, sent = wire.sent[1].split(b"\r\n\r\n")
    assert (orjson.loads(sent), content_length(head)) == ({"credits": 1}, len(sent))
    connection.data_received(ANSWER)
    assert load._outcome().operations == 1
    connection.data_received(ANSWER.replace(b"201", b"402"))
    assert load._outcome().errors == {"status": 1}, "a hold that is refused has no capture"
    assert wire.sent[-1].split(b" ")[1] == b"/v1/users/cleo/holds"


async def test_the_last_answer_closes(users_file: Path) -> None:
    load, connection, wire = exchange(users_file, passes=1)
    for _ in range(3):
        connection.data_received(ANSWER)
    assert wire.is_closed
    connection.connection_lost(None)
    assert load.finished.is_set()
    assert load._outcome().errors == {}


async def test_only_what_is_answered_between_the_ramp_and_the_end_is_counted(users_file: Path) -> None:
    now = [0.0]
    load, connection, _ = exchange(users_file, lambda: now[0], seconds=10)
    for now[0] in (0.5, 0.9, 4.9, 10.0, 11.0):
        connection.data_received(ANSWER)
    outcome = load._outcome()
    assert (outcome.operations, outcome.seconds, outcome.operations_in_all) == (2, 9.1, 4), "the end sends no more"


async def test_a_load_with_no_answer_in_its_time_is_counted_to_its_last_answer(users_file: Path) -> None:
    now = [0.0]
    load, connection, _ = exchange(users_file, lambda: now[0], seconds=1, connections=1)
    now[0] = 4.0
    connection.data_received(ANSWER)
    outcome = load._outcome()
    assert (outcome.operations, outcome.seconds, outcome.errors) == (1, 4.0, {})


@pytest.mark.parametrize(
    ("job", "break_it", "errors"),
    [
        ({}, lambda it: it.data_received(ANSWER.replace(b"201", b"402")), {"status": 1}),
        ({}, lambda it: it.connection_lost(None), {"read": 1, "nothing_done": 1}),
        ({"batch": 3}, lambda it: it.data_received(batch_answer(b'{"status":201},{"status":402},{}')), {"status": 2}),
        ({"batch": 3}, lambda it: it.data_received(batch_answer(b'{"status":201}' * 3, b"503")), {"status": 3}),
        ({"batch": 1}, lambda it: it.data_received(ANSWER.replace(b"201", b"200")), {"status": 1}),
        (
            {"batch": 2},
            lambda it: it.data_received(batch_answer(b'{"status":201,"replayed":true},{"status":201}')),
            {"replayed": 1},
        ),
    ],
)
async def test_what_goes_wrong_is_counted(
    users_file: Path, job: dict[str, object], break_it: Callable[[Exchange], None], errors: dict[str, int]
) -> None:
    load, connection, _ = exchange(users_file, passes=1, **job)
    break_it(connection)
    assert load._outcome().errors == errors


def batch_answer(body: bytes, status: bytes = b"200") -> bytes:
    return b"HTTP/1.1 %s x\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def test_a_timed_load_on_the_echo(echo: Server, users_file: Path) -> None:
    loaded = run_generator(job_for(echo.port, users_file, seconds=0.5))
    assert loaded.errors == {}
    assert 0 < loaded.operations <= loaded.operations_in_all
    assert loaded.seconds > 0
    assert 0 < loaded.latency.p50_ms <= loaded.latency.p90_ms <= loaded.latency.p99_ms


def test_a_counted_load_on_the_echo(echo: Server, users_file: Path) -> None:
    loaded = run_generator(job_for(echo.port, users_file, passes=7))
    assert (loaded.operations, loaded.operations_in_all, loaded.errors) == (21, 21, {})


def test_nobody_listens(users_file: Path) -> None:
    loaded = run_generator(job_for(1, users_file, seconds=0.1))
    assert loaded.errors["connect"] == 3
    assert loaded.operations == 0


@pytest.mark.skipif(WRK is None, reason="wrk is not installed")
def test_wrk_on_the_echo(echo: Server, users_file: Path) -> None:
    assert WRK is not None
    loaded = run_wrk(WRK, job_for(echo.port, users_file, seconds=1))
    assert loaded.errors == {}
    assert loaded.operations > 0
    assert loaded.seconds >= 1, "wrk's own microseconds are read as such"
    assert 0 < loaded.latency.p50_ms <= loaded.latency.p99_ms


@pytest.mark.skipif(WRK is None, reason="wrk is not installed")
def test_wrk_counts_what_is_refused(echo: Server, tmp_path: Path) -> None:
    assert WRK is not None
    (tmp_path / "users").write_text("no/such/path\n")
    loaded = run_wrk(WRK, job_for(echo.port, tmp_path / "users", seconds=1))
    assert loaded.errors == {"status": loaded.operations}


def test_wrk_that_says_nothing_is_an_error() -> None:
    with pytest.raises(BenchError, match="unable to connect"):
        parse_wrk("unable to connect to 127.0.0.1:1 Connection refused")
