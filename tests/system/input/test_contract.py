"""Schemathesis against our own description, over the whole API of a real daemon: no 5xx, the
contract kept, and the books agree.
"""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import aiohttp

from tests.support.client import API_KEY
from tests.support.processes import command, served

EXAMPLES = int(os.environ.get("PEDRO_TEST_EXAMPLES", "20"))
"""For each operation; more of them with PEDRO_TEST_EXAMPLES."""

CONFIGURATION = """
[checks]
positive_data_acceptance.enabled = false  # a refund of an entry that is not there is well-formed and refused

[parameters]
"path.user" = "clerk:fuzz"

[[operations]]
include-path = "/v1/operations"
# An operation of many that is not acceptable is answered in its place, and harms no other.
checks.negative_data_rejection.enabled = false
"""
WEBHOOKS = {
    "PEDRO_CLERK_WEBHOOK_SECRETS": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "PEDRO_ASAAS_WEBHOOK_TOKENS": "token-of-the-tests",
}


async def test_the_contract_is_kept(database_url: str, tmp_path: Path) -> None:
    program = shutil.which("st", path=str(Path(sys.executable).parent))
    assert program is not None, "schemathesis is a dependency of the tests"
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    async with (
        served(DATABASE_URL=database_url, PEDRO_BODY_TIMEOUT_S="2", **WEBHOOKS) as daemon,
        aiohttp.ClientSession() as session,
    ):
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with session.post(f"{daemon.address}/v1/users", json={"clerkId": "fuzz"}, headers=headers) as made:
            assert made.status == 201
        process = await asyncio.create_subprocess_exec(
            program, "run", f"{daemon.address}/openapi.json", "--header", f"Authorization: Bearer {API_KEY}",
            "--max-examples", str(EXAMPLES), "--phases", "examples,coverage,fuzzing", "--workers", "2",
            "--exclude-path-regex", "/balance/stream$",  # it does not end
            "--seed", "1", "--warnings", "off", "--no-color", "--suppress-health-check", "all", "--request-timeout", "10",
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        assert process.returncode == 0, out.decode()[-20_000:]
        async with session.get(f"{daemon.address}/v1/users/clerk:fuzz/statement", headers=headers) as statement:
            assert len((await statement.json())["items"]) >= 4, "hardly any operation was accepted"
    status, said, _ = await command("verify", "--json", DATABASE_URL=database_url)
    assert status == 0, said
