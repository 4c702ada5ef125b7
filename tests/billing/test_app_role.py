"""Webhooks where the daemon serves as the app role, which may do no more than it must."""

from pedro_ledger.daemon.app import Daemon
from pedro_ledger.postgres.database import Connection
from tests.conftest import settings_for
from tests.support.client import Api
from tests.support.webhooks import SETTINGS, asaas, asaas_payment, clerk, clerk_gone, clerk_item, clerk_user
from tests.system.access.test_roles import app_role_url

__all__ = ["app_role_url"]


async def test_every_effect_is_allowed_to_the_app_role(app_role_url: str, plans: None, connection: Connection) -> None:
    async with (
        Daemon(settings_for(app_role_url, allow_owner=False, **SETTINGS)).started() as running,
        Api.open(running) as api,
    ):
        assert (await clerk(api, clerk_item("user_1"))).json["state"] == "waiting"
        assert (await clerk(api, clerk_user("created", "user_1"))).json["state"] == "applied"
        user = (await api.get("/v1/users/clerk:user_1")).json["id"]
        await asaas(api, asaas_payment("CONFIRMED", reference="user_1|asaas_max"))
        assert await api.balance(user) == 6100
        await asaas(api, asaas_payment("REFUNDED", at="2026-11-09 10:00:00"))
        assert await api.balance(user) == 1100
        assert (await clerk(api, clerk_gone("user_1", at="2026-11-05"))).json["state"] == "applied"
        await connection.execute("UPDATE pedro_ledger.webhook_delivery SET received_at = now() - interval '90 days'")
        assert await running.parts.webhooks.purge() == 5
