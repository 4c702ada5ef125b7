"""Reports over replayed real traffic equal the query over the raw rows, while it is replayed and
after.
"""

import asyncio
from pathlib import Path

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection
from tests.conftest import settings_for
from tests.support.client import API_KEY, Api
from tests.support.processes import command
from tests.support.rawreports import assert_equal_to_raw

PIECE = Path(__file__).with_name("azure_conv_piece.csv")
"""The first 1,000 requests of AzureLLMInferenceTrace_conv: Microsoft, CC-BY 4.0; Patel et al.,
"Splitwise", ISCA 2024.
"""


async def test_reports_equal_the_raw_query_while_the_azure_trace_is_replayed(
    database_url: str, connection: Connection
) -> None:
    settings = settings_for(database_url, rollup_interval_s=0.05)
    async with Daemon(settings).started() as running, Api.open(running) as api:
        replay = asyncio.create_task(
            command("replay", str(PIECE), "--url", api.address, "--key", API_KEY, "--users", "300", "--json")
        )
        looks = 0
        while not replay.done():
            await assert_equal_to_raw(connection)
            looks += 1
        status, _, err = await replay
        assert status == 0, err
        assert looks > 2
        await assert_equal_to_raw(connection)
        operations = (await api.get("/v1/reports/top-operations")).json["items"]
        assert [(row["operationType"], row["uses"]) for row in operations] == [("AI_TEXT_CHAT", 1000)]
        assert (await api.get("/v1/reports/liability")).json["items"][0]["users"] > 0
