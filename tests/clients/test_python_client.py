"""The Python client against a real daemon, and against networks that fail."""

import asyncio
import subprocess
import sys
import venv
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pedro_ledger_client import (
    HoldClosed,
    IdempotencyKeyReused,
    InsufficientCredits,
    LedgerClient,
    Refused,
    Unanswered,
    UserNotFound,
)

from tests.clients import types
from tests.support.client import API_KEY, Api
from tests.support.patience import PATIENCE_S
from tests.support.places import ROOT

ENDS = (asyncio.IncompleteReadError, ConnectionError, OSError)


@asynccontextmanager
async def client(address: str, **options: float) -> AsyncIterator[LedgerClient]:
    async with LedgerClient(address, API_KEY, **options) as ledger:  # type: ignore[arg-type]
        yield ledger


class Faults:
    """A proxy that ends connections at random: before a request arrives, or before its answer."""

    def __init__(self, address: str, seed: int, *, share: float) -> None:
        host, port = address.removeprefix("http://").split(":")
        self.target = host, int(port)
        self.random = Random(seed)
        self.share = share
        self.done: Counter[str] = Counter()
        self.lines: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        def admit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._run(reader, writer))
            self.lines.add(task)
            task.add_done_callback(self.lines.discard)

        server = await asyncio.start_server(admit, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for task in list(self.lines):
                task.cancel()
            await asyncio.gather(*self.lines, return_exceptions=True)

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up, down = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        try:
            while True:
                request = await self._message(reader)
                if self._strikes("before"):
                    return
                down.write(request)
                answer = await self._message(up)
                if self._strikes("after"):
                    return
                writer.write(answer)
                await writer.drain()
        except ENDS:
            pass
        finally:
            writer.transport.abort()
            down.transport.abort()

    def _strikes(self, where: str) -> bool:
        if self.random.random() >= self.share:
            return False
        self.done[where] += 1
        return True

    @staticmethod
    async def _message(reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return head + await reader.readexactly(int(length[0].split(b":")[1])) if length else head


async def test_a_deduct_a_refund_a_grant_and_a_balance(api: Api) -> None:
    user = await api.user(100)
    async with client(api.address) as ledger:
        spent = await ledger.deduct(user, "AI_TEXT_CHAT", credits=30, details={"chat": "é"})
        assert (spent["creditsRemaining"], spent["userId"]) == (70, user)
        assert (await ledger.refund(user, spent["entryId"], credits=10))["creditsRemaining"] == 80
        assert (await ledger.grant(user, 5, "bonus", expiresIn=60))["expiresAt"]
        assert (await ledger.balance(user))["creditsAvailable"] == 85
        made = await ledger.upsert_user("clerk_of_the_client", email="c@example.com")
        assert (await ledger.deduct("clerk:clerk_of_the_client", "AI_TEXT_CHAT", credits=1))["userId"] == made["id"]


async def test_refusals_have_types(api: Api) -> None:
    user = await api.user(10)
    async with client(api.address) as ledger:
        with pytest.raises(InsufficientCredits) as short:
            await ledger.deduct(user, "AI_TEXT_CHAT", credits=11)
        assert (short.value.status, short.value.problem["creditsAvailable"]) == (402, 10)
        with pytest.raises(UserNotFound):
            await ledger.deduct("nobody", "AI_TEXT_CHAT", credits=1)
        with pytest.raises(UserNotFound):
            await ledger.balance("nobody")
        await ledger.deduct(user, "AI_TEXT_CHAT", credits=1, key="once")
        again = await ledger.deduct(user, "AI_TEXT_CHAT", credits=1, key="once")
        assert again["creditsRemaining"] == 9
        with pytest.raises(IdempotencyKeyReused):
            await ledger.deduct(user, "AI_TEXT_CHAT", credits=2, key="once")
        with pytest.raises(Refused) as odd:
            await ledger.deduct(user, "AI_TEXT_CHAT", credits=-1)
        assert odd.value.code == "invalid_body"
    async with LedgerClient(api.address, "no key") as stranger:
        with pytest.raises(Refused) as unknown:
            await stranger.deduct(user, "AI_TEXT_CHAT", credits=1)
        assert unknown.value.status == 401
    assert await api.balance(user) == 9


async def test_a_hold_is_captured_or_given_back(api: Api) -> None:
    user = await api.user(100)
    async with client(api.address) as ledger:
        async with ledger.hold(user, "AI_TEXT_CHAT", 50) as hold:
            assert (await ledger.balance(user))["creditsAvailable"] == 50
            assert (await hold.capture(5, final=False))["creditsRemaining"] == 95
            assert (await hold.extend(credits=10))["creditsHeld"] == 55
            assert (await hold.capture(7))["creditsRemaining"] == 88
            with pytest.raises(HoldClosed):
                await hold.capture(1)
        assert (await ledger.balance(user))["creditsAvailable"] == 88
        with pytest.raises(RuntimeError):
            async with ledger.hold(user, "AI_TEXT_CHAT", 50):
                raise RuntimeError("the model failed")
        assert (await ledger.balance(user))["creditsAvailable"] == 88


async def test_a_hold_with_a_lease_says_that_it_lives(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    user = await api.user(100)
    beaten = asyncio.Event()
    async with client(api.address) as ledger:
        call = ledger.call

        async def noting(method: str, path: str, body: object = None) -> object:
            answer = await call(method, path, body)
            assert answer["creditsHeld"] == 50
            beaten.set()
            return answer

        monkeypatch.setattr(ledger, "call", noting)
        monkeypatch.setattr("pedro_ledger_client.holds.BEATS_A_LEASE", 1000)
        async with ledger.hold(user, "AI_TEXT_CHAT", 50, lease=5, onLapse="capture_used") as hold:
            hold.uses(3)
            await beaten.wait()
            assert (await api.get(f"/v1/holds/{hold.id}")).json["state"] == "open"


async def test_what_waits_travels_together_and_each_gets_its_own_answer(api: Api) -> None:
    users = [await api.user(100) for _ in range(3)]
    async with client(api.address, requests_max=1) as ledger:
        sent: list[int] = []
        request = ledger._request

        async def noting(method: str, path: str, body: dict[str, list[object]]) -> object:
            sent.append(len(body["operations"]))
            return await request(method, path, body)

        ledger._request = noting  # type: ignore[method-assign]
        calls = [ledger.deduct(users[number % 3], "AI_TEXT_CHAT", credits=1 + number % 5) for number in range(60)]
        answers = await asyncio.gather(
            *calls, ledger.deduct("nobody", "AI_TEXT_CHAT", credits=1), return_exceptions=True
        )
        assert sum(sent) == 61
        assert len(sent) <= 2, "what asks at once travels at once"
        assert isinstance(answers.pop(), UserNotFound)
        for number, receipt in enumerate(answers):
            assert not isinstance(receipt, BaseException)
            assert (receipt["userId"], receipt["credits"]) == (users[number % 3], 1 + number % 5)


async def test_a_caller_who_leaves_harms_no_other(api: Api) -> None:
    user = await api.user(100)
    async with client(api.address, requests_max=1) as ledger:
        calls = [asyncio.create_task(ledger.deduct(user, "AI_TEXT_CHAT", credits=1)) for _ in range(10)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
        assert all(not isinstance(answer, BaseException) for answer in answers[1::2])


@pytest.mark.parametrize("seed", range(3))
async def test_no_charge_is_lost_or_doubled_by_a_network_that_fails(api: Api, seed: int) -> None:
    users = [await api.user(10_000) for _ in range(5)]
    faults = Faults(api.address, seed, share=0.3)
    spent: Counter[str] = Counter()
    async with faults.listening() as address, client(address, deadline_s=120.0) as ledger:

        async def live(number: int) -> None:
            random = Random(seed * 1000 + number)
            for _ in range(10):
                user = random.choice(users)
                receipt = await ledger.deduct(user, "AI_TEXT_CHAT", credits=random.randint(1, 9))
                spent[user] += receipt["credits"]
                if random.random() < 0.3:
                    back = await ledger.refund(user, receipt["entryId"], credits=1)
                    spent[user] -= back["credits"]

        await asyncio.gather(*(live(number) for number in range(20)))
    assert min(faults.done["before"], faults.done["after"]) > 3, faults.done
    assert {user: 10_000 - await api.balance(user) for user in users} == dict(spent)


async def test_a_balance_is_followed_through_cuts(api: Api) -> None:
    user = await api.user(100)
    cut, lines = asyncio.Event(), list[asyncio.Task[Any]]()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        lines.append(task)
        up, down = await asyncio.open_connection(*api.address.removeprefix("http://").split(":"))
        try:
            down.write(await Faults._message(reader))
            while not cut.is_set() and (piece := await up.read(4096)):
                writer.write(piece)
                if b"event: balance" in piece:
                    await cut.wait()
            cut.clear()
        finally:
            writer.transport.abort()
            down.transport.abort()

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    async with server, client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as ledger:
        seen = []
        async with asyncio.timeout(PATIENCE_S):
            async with aclosing(ledger.follow(user)) as balances:
                async for balance in balances:
                    seen.append(balance["creditsRemaining"])
                    if len(seen) == 4:
                        break
                    assert (await api.deduct(user, 10)).status == 201
                    cut.set()
        assert seen == [100, 90, 80, 70]
        with pytest.raises(UserNotFound):
            async for _ in ledger.follow("nobody"):
                pass
    for line in lines:
        line.cancel()
    await asyncio.gather(*lines, return_exceptions=True)


async def test_at_the_deadline_the_outcome_is_told(api: Api) -> None:
    user = await api.user(100)
    async with client("http://127.0.0.1:9", deadline_s=0.3) as nowhere:
        with pytest.raises(Unanswered) as away:
            await nowhere.deduct(user, "AI_TEXT_CHAT", credits=1)
        assert away.value.outcome == "not_applied"
    faults = Faults(api.address, 1, share=1.0)
    faults._strikes = lambda where: where == "after"  # type: ignore[method-assign]
    async with faults.listening() as address, client(address, deadline_s=2.0) as ledger:
        with pytest.raises(Unanswered) as lost:
            await ledger.deduct(user, "AI_TEXT_CHAT", credits=1, key="lost")
        assert (lost.value.outcome, lost.value.key) == ("unknown", "lost")
    async with client(api.address) as ledger:
        assert (await ledger.deduct(user, "AI_TEXT_CHAT", credits=1, key="lost"))["creditsRemaining"] == 99


def test_the_types_are_those_of_the_api() -> None:
    assert types.PYTHON.read_text() == types.formatted(types.python_types()), "run `python -m tests.clients.types`"


@pytest.mark.thorough
def test_the_types_check_and_the_wheel_installs(tmp_path: Path) -> None:
    source = ROOT / "clients" / "python"
    subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(source / "pedro_ledger_client")], check=True, cwd=tmp_path
    )
    pip = [sys.executable, "-m", "pip"]
    subprocess.run(
        [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(source)], check=True
    )
    (wheel,) = tmp_path.glob("pedro_ledger_client-*.whl")
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = ["--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([*pip, *install], check=True)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    assert (site / "pedro_ledger_client" / "py.typed").exists()
