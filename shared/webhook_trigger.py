"""Between the Functions worker's objects and the webhook route, which is answered before all else is loaded."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import azure.functions as func

from shared import message_text
from shared.first_use import FirstUse
from shared.webhooks import receive

if TYPE_CHECKING:
    from shared import services as root
    from shared.connections.context import Context
else:
    root = FirstUse("shared.services")

type Texts = func.Out[list[str]]
#: Headers of every plain answer.
PLAIN: Final[Mapping[str, str]] = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


def receive_notification(req: func.HttpRequest, jobs: Texts) -> func.HttpResponse:
    """Answer the webhook route."""
    path = str(req.route_params.get("subscription", ""))
    headers = {name.lower(): str(value) for name, value in req.headers.items()}
    sent_a_body = "transfer-encoding" in headers or headers.get("content-length", "0").strip() not in {"", "0"}

    def context(connection: str) -> "Context | None":
        made = root.services()
        return made.connection(connection).context if connection in made.ids else None

    reply = receive.receive(req.params, path, req.get_body(), context, sent_a_body=sent_a_body)
    if reply.jobs:
        conn = root.services().connection(reply.jobs[0].connection)
        if (activity := conn.activity) is not None:
            activity.delivered(reply.jobs[0].company, reply.jobs[0].entity)
        texts = [*(job.to_text() for job in reply.jobs), *root.services().second_clock.look()]
        jobs.set([message_text.encode(text) for text in texts])
    return func.HttpResponse(reply.body, status_code=reply.status, mimetype="text/plain", headers=PLAIN)
