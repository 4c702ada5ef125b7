"""Entries are proven to those who have nothing but the proof and a public key."""

import json
from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from pedro_ledger.ledger.evidence.proofs import check, parse_proof
from pedro_ledger.ledger.evidence.strict_json import EvidenceError
from pedro_ledger.postgres.database import Database
from pedro_ledger.proofs.sealer import Sealer
from pedro_ledger.proofs.signing import Signer, is_signed, make_key
from tests.support.client import Api
from tests.support.proof_checker import root_that_is_signed


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return make_key(tmp_path / "key.pem")


@pytest.fixture
def sealer(database: Database, signer: Signer, tmp_path: Path) -> Sealer:
    return Sealer(database, signer, tmp_path / "checkpoints.ndjson")


async def proof_of(api: Api, entry_id: str) -> bytes:
    reply = await api.get(f"/v1/entries/{entry_id}/proof")
    assert reply.status == 200, reply.body
    return reply.body


async def test_every_entry_is_proven_once_it_is_sealed(api: Api, sealer: Sealer, signer: Signer) -> None:
    users = [await api.user(100, name="é") for _ in range(5)]
    for user in users[1:]:
        spent = await api.deduct(user, 7, details={"text": "ü\n"})
        await api.refund(user, entryId=spent.json["entryId"], credits=3)
    checkpoint = await sealer.seal()
    assert checkpoint is not None
    assert (checkpoint.accounts, checkpoint.entries) == (5, 13)
    for user in users:
        await api.deduct(user, 1)
        *sealed, later = await api.statement(user)
        for entry in sealed:
            proof = await proof_of(api, entry["id"])
            check(parse_proof(proof), is_signed, signer.public_key)
            assert root_that_is_signed(proof, signer.public_key) == checkpoint.root
        reply = await api.get(f"/v1/entries/{later['id']}/proof")
        assert (reply.status, reply.code) == (409, "not_sealed_yet")
    assert await sealer.seal() is not None
    assert parse_proof(await proof_of(api, later["id"])).checkpoint.number == 2
    assert parse_proof(await proof_of(api, sealed[0]["id"])).checkpoint.number == 1


async def test_entries_about_lots_and_holds_are_proven_with_what_they_did(
    api: Api, sealer: Sealer, signer: Signer
) -> None:
    user = await api.user(100)
    await api.grant(user, 10, expiresIn=3600)
    hold = (await api.hold(user, 30, reference="ü")).json["entryId"]
    await api.capture(hold, 20)
    checkpoint = await sealer.seal()
    assert checkpoint is not None
    formats = []
    for entry in await api.statement(user):
        proof = await proof_of(api, entry["id"])
        check(parse_proof(proof), is_signed, signer.public_key)
        assert root_that_is_signed(proof, signer.public_key) == checkpoint.root
        formats.append(json.loads(proof)["format"])
    assert formats == ["pedro-proof-1", "pedro-proof-1", "pedro-proof-2", "pedro-proof-2"]


async def test_what_is_not_there_has_no_proof(api: Api) -> None:
    user = await api.user(100)
    entry = (await api.statement(user))[0]["id"]
    assert (await api.get(f"/v1/entries/{entry}/proof")).code == "not_sealed_yet"
    assert (await api.get(f"/v1/entries/{entry[:-1]}Z/proof")).status == 404
    assert (await api.get("/v1/entries/x/proof")).status == 404


async def test_a_ledger_that_left_what_was_sealed_proves_nothing(api: Api, sealer: Sealer, database: Database) -> None:
    user = await api.user(100)
    spent = await api.deduct(user, 7)
    await sealer.seal()
    connection = await database.connect({"session_replication_role": "replica"})
    await connection.execute("UPDATE pedro_ledger.entry SET details = '{}' WHERE user_id = $1 AND seq = 2", user)
    await connection.close()
    reply = await api.get(f"/v1/entries/{spent.json['entryId']}/proof")
    assert (reply.status, reply.code) == (409, "proof_impossible")


async def test_a_proof_with_any_other_byte_is_refused(api: Api, sealer: Sealer, signer: Signer) -> None:
    """Every byte of it matters, the punctuation too."""
    users = [await api.user(100) for _ in range(3)]
    spent = [await api.deduct(user, 7, details={"a": "b"}) for user in users][1]
    await api.deduct(users[1], 1)
    await sealer.seal()
    proof = await proof_of(api, spent.json["entryId"])
    check(parse_proof(proof), is_signed)

    def is_refused(document: bytes) -> bool:
        try:
            check(parse_proof(document), is_signed)
        except EvidenceError:
            return True
        return False

    for at in range(len(proof)):
        assert is_refused(proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :]), proof[at - 20 : at + 20]

    @given(st.integers(0, len(proof) - 1), st.integers(0, 255))
    @settings(max_examples=1000, deadline=None)
    def any_byte(at: int, byte: int) -> None:
        assert byte == proof[at] or is_refused(proof[:at] + bytes([byte]) + proof[at + 1 :])

    any_byte()

    whole = orjson.loads(proof)
    for name in ("after", "path"):
        for changed in ([*whole[name], "00" * 32], whole[name][1:], [*whole[name][::-1], "11" * 32]):
            assert is_refused(orjson.dumps(whole | {name: changed}))
    assert is_refused(orjson.dumps(whole | {"more": 1}))
    assert is_refused(proof[:-1] + b',"index":0}')
    for place in range(whole["checkpoint"]["accounts"] + 1):
        assert place == whole["index"] or is_refused(orjson.dumps(whole | {"index": place}))


async def test_another_key_is_no_substitute(api: Api, sealer: Sealer, tmp_path: Path) -> None:
    """A proof is internally whole whoever signed it: only the published key tells whose it is."""
    user = await api.user(100)
    await sealer.seal()
    proof = parse_proof(await proof_of(api, (await api.statement(user))[0]["id"]))
    forger = make_key(tmp_path / "other.pem")
    forged = proof.checkpoint._replace(public_key=forger.public_key)
    forged = forged._replace(signature=forger.sign(forged.statement))
    document = json.dumps(proof._replace(checkpoint=forged).json())
    check(parse_proof(document), is_signed)
    with pytest.raises(EvidenceError, match="another key"):
        check(parse_proof(document), is_signed, proof.checkpoint.public_key)
    Ed25519PublicKey.from_public_bytes(forger.public_key).verify(forged.signature, forged.statement)
