"""The app's settings: what operations cost."""

from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.reading import parse, query, read_json, refuse_unstorable
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response
from pedro_ledger.api.http.rows import row_response
from pedro_ledger.api.operation_types import OperationTypes
from pedro_ledger.api.schemas.app_answers import AdminSettings
from pedro_ledger.api.schemas.app_requests import SettingsChange
from pedro_ledger.api.schemas.queries import ForceQuery, NoQuery
from pedro_ledger.ledger.prices import RESERVED_KEY
from pedro_ledger.store.app.admin_settings import AdminSettingsStore
from pedro_ledger.store.app.price_refresher import PriceRefresher


async def read(request: Request, admin_settings: AdminSettingsStore) -> Response[AdminSettings]:
    """The settings; empty ones, without times, where the app has none yet."""
    query(request, NoQuery)
    return row_response(AdminSettings, await admin_settings.read(), "setting")


async def change(
    request: Request, admin_settings: AdminSettingsStore, prices: PriceRefresher, operation_types: OperationTypes
) -> Response[AdminSettings]:
    """Merge feature costs and token prices: a value sets one, null removes it, the others stay.

    They are in force at once on this replica, and within seconds on the others.
    """
    is_forced = query(request, ForceQuery).force
    body = parse(SettingsChange, await read_json(request))
    if body.featureCosts is None and body.tokenPrices is None:
        raise Problem(422, "invalid_body", "The body is not acceptable", "Send featureCosts, tokenPrices or both.",
                      field="featureCosts")  # fmt: skip
    costs = body.featureCosts or {}
    if RESERVED_KEY in costs:
        raise Problem(422, "invalid_body", "The body is not acceptable", "Send tokenPrices beside featureCosts.",
                      field="featureCosts")  # fmt: skip
    refuse_unstorable(costs, "featureCosts")
    token_prices = {
        operation_type: None
        if models is None
        else {model: None if price is None else price.model_dump(exclude_none=True) for model, price in models.items()}
        for operation_type, models in (body.tokenPrices or {}).items()
    }
    if not is_forced:
        priced = [name for name, cost in (*costs.items(), *token_prices.items()) if cost is not None]
        await operation_types.require_priced(priced)
    changed = await admin_settings.merge_costs(costs, token_prices)
    await prices.refresh_soon()
    return row_response(AdminSettings, changed, "setting")
