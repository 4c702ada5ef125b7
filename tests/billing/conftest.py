"""A daemon that takes webhooks."""

from collections.abc import AsyncIterator

import pytest

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.webhooks import SETTINGS


@pytest.fixture
async def hooked(database_url: str) -> AsyncIterator[Api]:
    """A daemon with the providers' secrets, and a client."""
    async with Daemon(settings_for(database_url, **SETTINGS)).started() as running, Api.open(running) as api:
        yield api


@pytest.fixture
async def plans(connection: Connection) -> None:
    """Two plans, each known to both providers."""
    await connection.execute(
        """INSERT INTO public."Plan" ("id", "clerkId", "asaasId", "name", "credits", "features", "updatedAt") VALUES
        ('p1', 'cplan_pro', 'asaas_pro', 'Pro', 1000, '{"AI_TEXT_CHAT": 2}', now()),
        ('p2', 'cplan_max', 'asaas_max', 'Max', 5000, '{"AI_TEXT_CHAT": 1}', now())"""
    )
