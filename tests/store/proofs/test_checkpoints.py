"""Checkpoints find what a consistent ledger cannot tell: that it was rewritten as a whole, or
rolled back.
"""

import asyncio
import gc
import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import asyncpg
import orjson
import pytest

from pedro_ledger.cli.verify import Finding, verify
from pedro_ledger.daemon.app import Daemon, spare_the_collector
from pedro_ledger.ledger.chain import GENESIS, entry_hash
from pedro_ledger.ledger.evidence.checkpoints import PAGE_LEAVES, line_hash
from pedro_ledger.postgres.database import Connection, Database
from pedro_ledger.proofs.errors import CheckpointError
from pedro_ledger.proofs.log_file import opened_log, read_log
from pedro_ledger.proofs.sealer import Sealer
from pedro_ledger.proofs.signing import Signer, is_signed, load_key, make_key
from pedro_ledger.store.journal.rows import entry_of
from pedro_ledger.store.proofs import checkpoints as store
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.databases import TestServer
from tests.support.loop_watch import loop_watch
from tests.support.patience import PATIENCE_S
from tests.support.processes import command

LINES = 100_000
PAUSE_MAX_S = 0.02


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return make_key(tmp_path / "key.pem")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sealed" / "checkpoints.ndjson"


@pytest.fixture
def sealer(database: Database, signer: Signer, file: Path) -> Sealer:
    return Sealer(database, signer, file)


async def findings(database: Database, lines: Sequence[str], public_key: bytes | None = None) -> list[Finding]:
    return (await verify(database, lines, public_key, quiet=True)).findings


async def tampering(database: Database) -> Connection:
    """A connection of the owner, with every trigger disabled."""
    connection = await database.connect({"session_replication_role": "replica"})
    await connection.execute("SELECT set_config('pedro_ledger.writer', 'on', false)")
    return connection


async def rewrite(connection: Connection, user: str, seq: int) -> None:
    """What an owner who knows the format does: change an entry, then every hash after it, and the
    account's head.
    """
    await connection.execute(
        "UPDATE pedro_ledger.entry SET actor = 'key_OTHER' WHERE user_id = $1 AND seq = $2", user, seq
    )
    head = GENESIS
    for row in await connection.fetch(
        "SELECT to_jsonb(entry) AS entry FROM pedro_ledger.entry WHERE user_id = $1 ORDER BY seq", user
    ):
        entry = entry_of(orjson.loads(row["entry"]))
        head = entry_hash(head, user, entry)
        await connection.execute(
            "UPDATE pedro_ledger.entry SET hash = $3 WHERE user_id = $1 AND seq = $2", user, entry.seq, head
        )
    await connection.execute("UPDATE pedro_ledger.account SET head = $2 WHERE user_id = $1", user, head)


async def test_lines_carry_the_hash_of_the_line_before(
    api: Api, sealer: Sealer, file: Path, database: Database
) -> None:
    for _ in range(3):
        await api.user(100)
        made = await sealer.seal()
        assert made is not None
    lines = read_log(file)
    parsed = [orjson.loads(line) for line in lines]
    assert [each["number"] for each in parsed] == [1, 2, 3]
    assert [each["accounts"] for each in parsed] == [1, 2, 3]
    assert [each["previous"] for each in parsed] == ["0" * 64, *(line_hash(line).hex() for line in lines[:2])]
    assert await findings(database, lines) == []
    assert await findings(database, lines[:1]) == []


async def test_an_empty_ledger_is_sealed_too(sealer: Sealer, file: Path, database: Database) -> None:
    made = await sealer.seal()
    assert made is not None
    assert made.root.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert await findings(database, read_log(file)) == []


async def test_a_ledger_rewritten_as_a_whole_is_found_and_not_signed(
    api: Api, sealer: Sealer, file: Path, database: Database
) -> None:
    users = sorted([await api.user(100) for _ in range(3)])
    for user in users:
        await api.deduct(user, 1)
    await sealer.seal()
    for user in users:
        await api.deduct(user, 1)
    connection = await tampering(database)
    await rewrite(connection, users[1], 2)
    await connection.close()
    assert (await verify(database, None, None, quiet=True)).findings == []
    [found] = await findings(database, read_log(file))
    assert (found.user_id, found.seq) == (users[1], 2)
    with pytest.raises(CheckpointError, match=f"user {users[1]} seq 2"):
        await sealer.seal()


async def test_an_entry_after_the_checkpoint_may_be_rewritten_unseen_until_the_next(
    api: Api, sealer: Sealer, file: Path, database: Database
) -> None:
    """What is not promised."""
    user = await api.user(100)
    await sealer.seal()
    await api.deduct(user, 1)
    connection = await tampering(database)
    await rewrite(connection, user, 2)
    await connection.close()
    assert await findings(database, read_log(file)) == []


async def test_a_rolled_back_ledger_is_found(
    api: Api, sealer: Sealer, file: Path, database: Database, database_url: str, server: TestServer, signer: Signer
) -> None:
    """A copy from before the checkpoint is consistent in itself, and so are its own checkpoints."""
    user = await api.user(100)
    await sealer.seal()
    connection = await tampering(database)
    async with connection.transaction():
        await connection.execute("DELETE FROM pedro_ledger.entry WHERE user_id = $1", user)
        await connection.execute("DELETE FROM pedro_ledger.account WHERE user_id = $1", user)
        await connection.execute('DELETE FROM "UsageHistory"')
    [found] = await findings(database, read_log(file))
    assert (found.user_id, found.seq) == (user, 1)
    await connection.execute("DELETE FROM pedro_ledger.checkpoint_page")
    await connection.execute("DELETE FROM pedro_ledger.checkpoint")
    await connection.close()
    [found] = await findings(database, read_log(file))
    assert "rolled back" in found.what
    with pytest.raises(CheckpointError, match="rolled back"):
        await sealer.seal()


async def test_sealed_accounts_that_were_changed_or_removed_are_found(
    api: Api, sealer: Sealer, file: Path, database: Database
) -> None:
    await api.user(100)
    await sealer.seal()
    connection = await tampering(database)
    before = await connection.fetchrow("SELECT * FROM pedro_ledger.checkpoint_page")
    assert before is not None
    [leaf] = store.unpack(before["leaves"])
    other = zlib.compress(leaf._replace(user_id="x", seq=0).encode())  # readable, but not what was signed
    await connection.execute("UPDATE pedro_ledger.checkpoint_page SET leaves = $1", other)
    [found] = await findings(database, read_log(file))
    assert "do not make the root" in found.what
    await connection.execute("UPDATE pedro_ledger.checkpoint_page SET leaves = $1", b"nonsense")
    [found] = await findings(database, read_log(file))
    assert "damaged" in found.what
    await connection.execute("DELETE FROM pedro_ledger.checkpoint_page")
    [found] = await findings(database, read_log(file))
    assert "lacks the sealed accounts" in found.what
    await connection.close()


FORGERIES = {
    "root": lambda line: line.replace('"root":"', '"root":"0')[: len(line)],
    "accounts": lambda line: line.replace('"accounts":1', '"accounts":2'),
    "time": lambda line: line.replace('"at":"2', '"at":"1'),
    "spaces": lambda line: line.replace(":1,", ": 1,", 1),
    "signature": lambda line: line[:-3] + ("0" if line[-3] != "0" else "1") + line[-2:],
    "not JSON": lambda line: line[:-1],
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_forged_file_is_found(api: Api, sealer: Sealer, file: Path, database: Database, forge: object) -> None:
    await api.user(100)
    await sealer.seal()
    await sealer.seal()
    lines = read_log(file)
    forged = forge(lines[0])  # type: ignore[operator]
    assert forged != lines[0]
    [found] = await findings(database, [forged, lines[1]])
    assert "line 1" in found.what
    [found] = await findings(database, lines[1:])
    assert "its number is 2" in found.what


async def test_a_file_that_another_key_signed_is_found(
    api: Api, sealer: Sealer, file: Path, database: Database, tmp_path: Path, signer: Signer
) -> None:
    await api.user(100)
    await sealer.seal()
    lines = read_log(file)
    assert await findings(database, lines, signer.public_key) == []
    other = make_key(tmp_path / "other.pem")
    [found] = await findings(database, lines, other.public_key)
    assert "another key" in found.what
    sealed = (await _sealed(database))[0]
    forged = sealed._replace(public_key=other.public_key)
    [found] = await findings(database, [forged._replace(signature=other.sign(forged.statement)).line])
    assert "another checkpoint 1" in found.what


async def _sealed(database: Database) -> list[store.Checkpoint]:
    async with database.acquire() as connection:
        return await store.sealed_checkpoints(connection)


async def test_pages_make_one_tree_and_old_ones_are_forgotten(
    api: Api, sealer: Sealer, database: Database, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    monkeypatch.setattr("pedro_ledger.proofs.sealer.TREES_KEPT", 2)
    monkeypatch.setattr("pedro_ledger.store.proofs.checkpoints.PAGE_LEAVES", 4)
    assert PAGE_LEAVES & (PAGE_LEAVES - 1) == 0
    for _ in range(11):
        await api.user(100)
    for _ in range(4):
        await sealer.seal()
    assert [each.number for each in await _sealed(database)] == [3, 4]
    assert await findings(database, read_log(file)) == []
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM pedro_ledger.checkpoint_page") == 6


async def test_one_session_seals_at_a_time_and_files_of_replicas_keep_step(
    api: Api, sealer: Sealer, database: Database, signer: Signer, file: Path, tmp_path: Path
) -> None:
    await api.user(100)
    other = Sealer(database, signer, tmp_path / "other.ndjson")
    async with store.sealing_session(database) as session:
        assert session is not None
        assert await sealer.seal() is None
    await sealer.seal()
    assert await other.seal(unless_younger_s=60) is None
    assert read_log(tmp_path / "other.ndjson") == read_log(file)
    made = await other.seal()
    assert made is not None
    assert made.number == 2
    again = await sealer.seal()
    assert again is not None
    assert len(read_log(file)) == 3


async def test_what_was_checked_once_is_remembered(
    api: Api, sealer: Sealer, database: Database, signer: Signer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[bytes] = []

    def counted(public_key: bytes, signature: bytes, statement: bytes) -> bool:
        checked.append(statement)
        return is_signed(public_key, signature, statement)

    monkeypatch.setattr("pedro_ledger.proofs.sealer.is_signed", counted)
    await api.user(100)
    for _ in range(5):
        await sealer.seal()
    assert len(checked) == 0, "what it signed itself it need not check"
    fresh = Sealer(database, signer, file)
    assert await fresh.seal(unless_younger_s=60) is None
    assert len(checked) == 5
    assert await fresh.seal(unless_younger_s=60) is None
    assert len(checked) == 5, "a session reads new lines only"
    await sealer.seal()
    await fresh.seal()
    assert len(checked) == 6
    assert await findings(database, read_log(file)) == []


async def test_a_file_or_a_database_that_lost_what_was_checked_is_noticed(
    api: Api, sealer: Sealer, database: Database, file: Path
) -> None:
    await api.user(100)
    for _ in range(3):
        await sealer.seal()
    whole = file.read_bytes()
    file.write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1])
    await sealer.seal()
    assert file.read_bytes().startswith(whole), "the file gets back what the database has"
    forged = whole.replace(b'"number":1,', b'"number":9,')
    file.write_bytes(forged)
    with pytest.raises(CheckpointError, match="different checkpoints"):
        await sealer.seal()
    file.write_bytes(whole)
    connection = await tampering(database)
    await connection.execute("DELETE FROM pedro_ledger.checkpoint WHERE number > 2")
    await connection.close()
    with pytest.raises(CheckpointError, match="the database lacks checkpoint"):
        await sealer.seal()


async def test_the_loop_goes_on_while_a_turn_seals(api: Api, sealer: Sealer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that computes without a pause stops only its own thread."""
    turns = threading.Event()

    async def busy(self: store.SealingSession, number: int) -> store.Tree:
        assert turns.wait(60), "the loop of the daemon stood still"
        return await write_pages(self, number)

    write_pages = store.SealingSession.write_pages
    monkeypatch.setattr(store.SealingSession, "write_pages", busy)
    await api.user(100)
    session = asyncio.create_task(sealer.tick())
    assert (await api.get("/livez", auth=None)).status == 200
    turns.set()
    await session


@pytest.fixture
def _spared_collector() -> Iterator[None]:
    """As in the daemon: a collection of what other tests made is no pause of the sealing."""
    before = gc.get_threshold()
    spare_the_collector()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.thorough
@pytest.mark.usefixtures("_spared_collector")
async def test_sealing_a_hundred_thousand_lines_keeps_the_loop_from_nothing(
    database: Database, sealer: Sealer, signer: Signer, file: Path
) -> None:
    """First everything ever sealed is checked, by a session that knows nothing, then what is
    new.
    """
    first = await sealer.seal()
    assert first is not None
    lines, last = list[str](), first
    for number in range(2, LINES + 1):
        last = last._replace(number=number, previous=line_hash(last.line))
        last = last._replace(signature=signer.sign(last.statement))
        lines.append(last.line)
    connection = await tampering(database)
    await connection.copy_records_to_table(
        "checkpoint", schema_name="pedro_ledger", records=list(enumerate(lines, 2)), columns=["number", "line"]
    )
    await connection.close()
    with file.open("a") as log:
        log.writelines(f"{line}\n" for line in lines)
    outcomes: list[str] = []
    fresh = Sealer(database, signer, file, on_turn=outcomes.append)
    for made in (1, 2):
        with loop_watch() as watch:
            await fresh.tick()
        assert outcomes == ["made"] * made
        assert watch.longest_s < PAUSE_MAX_S, f"{watch.longest_s * 1000:.0f} ms"
        assert watch.looks > 2
    assert len(read_log(file)) == LINES + 2


async def test_a_line_that_was_cut_short_is_not_counted(api: Api, sealer: Sealer, file: Path) -> None:
    await api.user(100)
    await sealer.seal()
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:50])
    with opened_log(file) as log:
        assert len(log.lines) == 1
    assert file.read_bytes() == whole
    file.write_bytes(b"")  # as if the daemon had died between the database and the file
    await sealer.seal()
    assert file.read_bytes().startswith(whole)


async def test_checkpoints_are_append_only(api: Api, sealer: Sealer, connection: Connection) -> None:
    await sealer.seal()
    for statement in (
        "UPDATE pedro_ledger.checkpoint SET line = ''",
        "DELETE FROM pedro_ledger.checkpoint",
        "TRUNCATE pedro_ledger.checkpoint",
        "INSERT INTO pedro_ledger.checkpoint VALUES (2, '')",
    ):
        with pytest.raises(asyncpg.RestrictViolationError, match="pedro_ledger: checkpoints are"):
            await connection.execute(statement)


async def turns(api: Api, outcome: str) -> float:
    exposed = (await api.get("/metrics", auth=None)).body.decode()
    return float(exposed.partition(f'pedro_ledger_checkpoints_total{{outcome="{outcome}"}} ')[2].split()[0])


async def test_the_daemon_seals_by_itself(database_url: str, tmp_path: Path, signer: Signer) -> None:
    file = tmp_path / "checkpoints.ndjson"
    settings = settings_for(
        database_url, checkpoint_every_s=0.6, checkpoint_file=file, checkpoint_key_file=tmp_path / "key.pem"
    )
    async with Daemon(settings).started() as running, Api.open(running) as api, asyncio.timeout(PATIENCE_S):
        entry = (await api.statement(await api.user(100)))[0]["id"]
        while (await api.get(f"/v1/entries/{entry}/proof")).status != 200:
            await asyncio.sleep(0.05)
        while len(read_log(file)) < 2:
            await asyncio.sleep(0.05)
        assert await turns(api, "made") >= 2
        assert await turns(api, "refused") == 0
        with file.open("a") as log:
            log.write("{}\n")  # as if the database had been rolled back
        while not await turns(api, "refused"):
            await asyncio.sleep(0.05)


def test_the_key_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    made = make_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert load_key(file).public_key == made.public_key
    with pytest.raises(CheckpointError, match="is there already"):
        make_key(file)
    os.chmod(file, 0o640)
    with pytest.raises(CheckpointError, match="chmod 600"):
        load_key(file)
    with pytest.raises(CheckpointError, match="--make-key"):
        load_key(tmp_path / "none.pem")


async def test_the_commands(api: Api, database_url: str, tmp_path: Path) -> None:
    """From key to proof, as an operator and a customer do it."""
    operator = {"DATABASE_URL": database_url, "PEDRO_DATA_DIR": str(tmp_path)}
    status, _, told = await command("checkpoint", **operator)
    assert status == 2
    assert "--make-key" in told
    status, out, _ = await command("checkpoint", "--make-key", "--json", **operator)
    assert status == 0
    public_key = orjson.loads(out)["publicKey"]
    spent = await api.deduct(await api.user(100), 7)
    status, out, _ = await command("checkpoint", **operator)
    assert status == 0, out
    assert out.startswith("checkpoint 1: 1 accounts, 2 entries, root ")
    status, out, _ = await command("checkpoint", "--public-key", **operator)
    assert (status, out) == (0, public_key + "\n")
    proof = tmp_path / "proof.json"
    proof.write_bytes((await api.get(f"/v1/entries/{spent.json['entryId']}/proof")).body)
    status, out, _ = await command("verify-proof", str(proof), "--public-key", public_key)
    assert status == 0
    assert out.startswith("valid: deduct -7 of user ")
    proof.write_bytes(proof.read_bytes().replace(b'"credits":-7', b'"credits":-6'))
    status, out, _ = await command("verify-proof", str(proof), "--public-key", public_key)
    assert (status, out) == (1, "refused: the entry does not lead to the root of the checkpoint\n")
    log = str(tmp_path / "checkpoints.ndjson")
    status, out, _ = await command("verify", "--checkpoint", log, "--public-key", public_key, "--json", **operator)
    assert status == 0, out
    assert orjson.loads(out)["checkpoints"] == 1
    status, out, _ = await command("verify", "--checkpoint", log, "--public-key", "00" * 32, **operator)
    assert status == 1
    assert "another key signed it" in out
