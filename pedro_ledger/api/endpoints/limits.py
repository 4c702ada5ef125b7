"""Spend limits: of a user, of a plan's users, of all; and how a user stands with them."""

from datetime import UTC, datetime

from pedro_ledger.api.answering import raise_problem
from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.reading import chosen_id, parse, query, read_json, require_time_zone, user_ref
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response, json_response
from pedro_ledger.api.http.rows import row_response
from pedro_ledger.api.operation_types import OperationTypes
from pedro_ledger.api.schemas import answers
from pedro_ledger.api.schemas.queries import NoQuery
from pedro_ledger.api.schemas.requests import LimitBody, SharedLimitBody
from pedro_ledger.engine.engine import Engine
from pedro_ledger.ledger.due import as_of
from pedro_ledger.ledger.limits import LimitUse, in_force, metered, unread, uses
from pedro_ledger.ledger.meters import Limit
from pedro_ledger.ledger.operations import DropLimit, SetLimit
from pedro_ledger.ledger.times import moment_text
from pedro_ledger.store.app.plans import PlanStore
from pedro_ledger.store.app.price_refresher import PriceRefresher
from pedro_ledger.store.app.spend_limits import SpendLimitStore
from pedro_ledger.store.journal.open_items import OpenItemsReader


async def list_own(request: Request, open_items: OpenItemsReader) -> Response[answers.Limits]:
    """A user's own limits, by id."""
    query(request, NoQuery)
    row = await open_items.account(user_ref(request))
    own = () if row.account.open is None else row.account.open.limits
    found: answers.Limits = {"items": [_limit_json(limit) for limit in own]}
    return json_response(found)


async def put_own(request: Request, engine: Engine, operation_types: OperationTypes) -> Response[answers.Limit]:
    """Set a limit of a user, or change the one that has this id."""
    limit = _limit_of(operation_types, request, parse(LimitBody, await read_json(request)))
    raise_problem(await engine.submit(user_ref(request), SetLimit(request.caller.key_id, limit)))
    return json_response(_limit_json(limit))


async def delete_own(request: Request, engine: Engine) -> Response[answers.Deleted]:
    """Delete a limit of a user."""
    query(request, NoQuery)
    limit_id = request.path_values["limit"]
    raise_problem(await engine.submit(user_ref(request), DropLimit(request.caller.key_id, limit_id)))
    found: answers.Deleted = {"deleted": limit_id}
    return json_response(found)


async def usage(request: Request, open_items: OpenItemsReader, prices: PriceRefresher) -> Response[answers.LimitUses]:
    """How a user stands with every limit that applies: spent, held, left, and when it resets."""
    query(request, NoQuery)
    row = await open_items.account(user_ref(request))
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    account, _ = as_of(row.account, now_ms)
    limits = in_force(account, prices.limits)
    asked = unread(account, prices.limits, (), now_ms)
    read = await open_items.meters(account.user_id, asked) if asked else ()
    account = metered(account, prices.limits, read, now_ms)
    found: answers.LimitUses = {"items": [_use_json(use) for use in uses(account, limits)]}
    return json_response(found)


async def list_shared(request: Request, spend_limits: SpendLimitStore) -> Response[answers.SharedLimits]:
    """The limits of plans and of all users, by id."""
    query(request, NoQuery)
    found: answers.SharedLimits = {"items": await spend_limits.list_all()}  # type: ignore[typeddict-item]
    return json_response(found)


async def put_shared(
    request: Request,
    spend_limits: SpendLimitStore,
    plans: PlanStore,
    prices: PriceRefresher,
    operation_types: OperationTypes,
) -> Response[answers.SharedLimit]:
    """Set a limit of a plan's users or of all, or change the one that has this id.

    It is in force at once on this replica, and within seconds on the others.
    """
    body = parse(SharedLimitBody, await read_json(request))
    limit = _limit_of(operation_types, request, body)
    if body.plan is not None and await plans.read(body.plan) is None:
        raise Problem(404, "plan_not_found", "No such plan", "There is no such plan.")
    made = await spend_limits.put(limit, body.plan)
    await prices.refresh_soon()
    return row_response(answers.SharedLimit, made, "limit")


async def delete_shared(
    request: Request, spend_limits: SpendLimitStore, prices: PriceRefresher
) -> Response[answers.Deleted]:
    """Delete a limit of a plan's users or of all."""
    query(request, NoQuery)
    limit_id = request.path_values["limit"]
    if "\0" in limit_id or await spend_limits.delete(limit_id) is None:
        raise Problem(404, "limit_not_found", "No such limit", f"There is no limit {limit_id}.", limitId=limit_id)
    await prices.refresh_soon()
    found: answers.Deleted = {"deleted": limit_id}
    return json_response(found)


def _limit_of(operation_types: OperationTypes, request: Request, body: LimitBody) -> Limit:
    """The limit that a body asks for, with the id of the path. Raises the problem 422."""
    limit_id = chosen_id(request, "limit", "limitId")
    require_time_zone(body.timeZone)
    if body.operationType is not None:
        operation_types.require(body.operationType)
    return Limit(limit_id, body.credits, body.window, body.timeZone, body.operationType, body.onBehalfOf)


def _limit_json(limit: Limit) -> answers.Limit:
    return {
        "limitId": limit.id,
        "credits": limit.credits,
        "window": limit.window,
        "timeZone": limit.zone,
        "operationType": limit.operation_type,
        "onBehalfOf": limit.on_behalf_of,
    }


def _use_json(use: LimitUse) -> answers.LimitUse:
    return {
        **_limit_json(use.limit),
        "scope": use.limit.scope,
        "creditsSpent": use.spent,
        "creditsHeld": use.held,
        "creditsLeft": max(0, use.left),
        "resetsAt": moment_text(use.resets_ms),
    }
