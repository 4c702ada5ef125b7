"""What Clerk and Asaas deliver. No key: a signature or a token proves where it comes from."""

from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.http.reading import read_body
from pedro_ledger.api.http.request import Request
from pedro_ledger.api.http.responses import Response, json_response
from pedro_ledger.api.schemas.operator_answers import WebhookTaken
from pedro_ledger.billing.service import NotConfigured, NotGenuine, Webhooks
from pedro_ledger.store.billing.inbox import DeliveryResult


async def clerk(request: Request, webhooks: Webhooks) -> Response[WebhookTaken]:
    """Take an event of Clerk, signed as Svix does; each is applied once."""
    body = await read_body(request)
    sent = request.headers
    try:
        taken = await webhooks.take_clerk(
            sent.get("svix-id", ""), sent.get("svix-timestamp", ""), sent.get("svix-signature", ""), body
        )
    except (NotGenuine, NotConfigured) as error:
        raise refused(error) from None
    return answer(taken)


async def asaas(request: Request, webhooks: Webhooks) -> Response[WebhookTaken]:
    """Take an event of Asaas, with its access token; each is applied once.

    The answer is 200 also when nothing follows from the event.
    """
    try:
        webhooks.check_asaas(request.headers.get("asaas-access-token", ""))
    except (NotGenuine, NotConfigured) as error:
        raise refused(error) from None
    return answer(await webhooks.take_asaas(await read_body(request)))


def answer(taken: DeliveryResult) -> Response[WebhookTaken]:
    """200, whatever became of the event: it is kept, and sending it again would change nothing."""
    if taken.obstacle is None:
        return json_response({"state": taken.state.value, "repeated": taken.is_repeat})
    return json_response({"state": taken.state.value, "reason": taken.obstacle.reason, "repeated": taken.is_repeat})


def refused(error: NotGenuine | NotConfigured) -> Problem:
    """401 for what anybody may have sent; 503 where a setting is missing.

    After a 503 the provider sends the event again.
    """
    if isinstance(error, NotGenuine):
        return Problem(401, error.code, "The delivery is not genuine", str(error))
    return Problem(
        503, "webhook_not_configured", "The webhook is not configured", str(error), headers={"Retry-After": "60"}
    )
