"""The app's settings: what operations cost."""

from aiohttp import web

from pedro_ledger.api.app_rows import row_response
from pedro_ledger.api.context import Context
from pedro_ledger.api.http.reading import parse, query, refuse_unstorable
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.schemas.app_requests import SettingsChange


async def read(request: Request, context: Context) -> web.Response:
    """The settings, made where the app has none yet."""
    query(request)
    return row_response(await context.admin_settings.read(), "setting")


async def change(request: Request, context: Context) -> web.Response:
    """Merge feature costs: a number sets one, null removes it, the others stay. In force at once here, within seconds elsewhere."""
    body = parse(SettingsChange, await context.json(request))
    refuse_unstorable(body.featureCosts, "featureCosts")
    changed = await context.admin_settings.merge_costs(body.featureCosts)
    await context.catalog.refresh_soon()
    return row_response(changed, "setting")
