"""The runtime API: which resources webhooks support here, and the activity log of the webhook sender."""

import json
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote_plus

from business_central_emulator.data import errors
from business_central_emulator.data.environment import Ids
from business_central_emulator.data.values import format_datetime
from business_central_emulator.webhooks.sender import LogLine
from business_central_emulator.webhooks.subscriptions import Subscriptions

#: The documented query: `resource eq 'v2.0*'`, where the star is a wildcard.
_FILTER: Final = re.compile(r"\$filter=resource eq '([^']*)'")


def supported_resources(context: str, subscriptions: Subscriptions, query: str) -> bytes:
    """Return the resources that may be subscribed to, filtered as documented."""
    rows = [name if "/" in name else f"v2.0/{name}" for name in subscriptions.supported()]
    text = unquote_plus(query)
    if "$filter" in text:
        found = _FILTER.search(text)
        if found is None:
            raise errors.NotEmulatedError("this $filter on webhookSupportedResources")
        wanted = re.compile(re.escape(found[1]).replace(r"\*", ".*"), re.IGNORECASE)
        rows = [row for row in rows if wanted.fullmatch(row)]
    return json.dumps({"@odata.context": context, "value": [{"resource": row} for row in rows]}).encode()


def webhook_logs(context: str, lines: Sequence[LogLine], ids: Ids) -> bytes:
    """Return the activity log of context APIWEBHOOK as AL page 5461 has it, newest first."""
    rows = [
        {
            "id": ids.guid(),
            "time": format_datetime(line.at),
            "status": "Failed" if line.failed else "Success",
            "message": line.message,
            "details": line.details,
        }
        for line in sorted(lines, key=lambda line: line.at, reverse=True)
    ]
    return json.dumps({"@odata.context": context, "value": rows}).encode()
