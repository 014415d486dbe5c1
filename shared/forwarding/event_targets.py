"""What `BC_EVENTS_TO` names: the queue, an Event Grid topic, a Service Bus queue or topic, or an https endpoint.

Pure. The kind follows from the host name. Owns the addresses that requests go to; knows no request and no answer.
Sources: Event Grid, "Post to custom topic" and the namespaces' `publish` operation; Service Bus REST, "Send Message
Batch".
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from shared.settings import is_host

QUEUE: Final = "queue"

_ADDRESS: Final = "queue, or the https address of an Event Grid topic, a Service Bus queue or topic, or an endpoint"
_EVENT_GRID_HOST: Final = ".eventgrid.azure.net"
_SERVICE_BUS_HOST: Final = ".servicebus.windows.net"
#: Hosts of Azure that take no such request: what would come back is a refusal of every event.
_OTHER_AZURE: Final = (
    ".core.windows.net", ".eventgrid.azure.us", ".eventgrid.azure.cn", ".servicebus.usgovcloudapi.net",
    ".servicebus.chinacloudapi.cn", ".vault.azure.net",
)  # fmt: skip
_PLAIN: Final = re.compile(r"[!-~]+")
_TOPIC: Final = re.compile(r"/topics/([A-Za-z0-9-]{3,50})(?::publish)?/?")
_ENTITY: Final = re.compile(r"((?:/[A-Za-z0-9._~-]{1,260})+?)(?:/messages)?/?")


class TargetKind(StrEnum):
    """What kind of receiver it is; the value is its name for people."""

    EVENT_GRID = "Event Grid"
    SERVICE_BUS = "Service Bus"
    WEBHOOK = "the endpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One receiver."""

    kind: TargetKind
    url: str = field(repr=False)  # what requests go to; path and query of an endpoint may hold a secret
    scope: str = ""  # of the token; "": requests are signed instead

    @property
    def shown(self) -> str:
        """What may be shown of it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


def read_target(text: str) -> Target | None:
    """Return the receiver that a setting names, None for the queue.

    Raises:
        ValueError: what it must be; the text holds no part of the address.
    """
    if text == QUEUE:
        return None
    host, origin, path, query = _https(text)
    if host.endswith(_EVENT_GRID_HOST):
        return _event_grid(origin, path, query)
    if host.endswith(_SERVICE_BUS_HOST):
        return _service_bus(origin, path, query)
    if host.endswith(_OTHER_AZURE):
        raise ValueError(f"{_ADDRESS}; that host takes no events")
    return Target(kind=TargetKind.WEBHOOK, url=f"{origin}{path or '/'}{query and '?'}{query}")


def _https(text: str) -> tuple[str, str, str, str]:
    """Return host, origin, path and query of an https address; hosts and ports as URLs compare."""
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise ValueError(_ADDRESS) from None  # its text holds the value
    if parts.scheme.lower() != "https" or not is_host(host) or "@" in parts.netloc or parts.fragment:
        raise ValueError(_ADDRESS)
    if not _PLAIN.fullmatch(text):
        raise ValueError(f"{_ADDRESS}; without blanks and letters that a URL must encode")
    shown = f"[{host}]" if ":" in host else host
    return host, f"https://{shown}" if port in {None, 443} else f"https://{shown}:{port}", parts.path, parts.query


def _event_grid(origin: str, path: str, query: str) -> Target:
    """Of a topic `/api/events`, of a namespace's `/topics/<name>`; versions as Microsoft's SDK for Python has them."""
    topic = _TOPIC.fullmatch(path)
    if query or (path.rstrip("/") not in {"", "/api/events"} and not topic):
        raise ValueError("an Event Grid address as the portal shows it: https://<host>/api/events or /topics/<name>")
    rest = f"topics/{topic[1]}:publish?api-version=2024-06-01" if topic else "api/events?api-version=2018-01-01"
    scope = "https://eventgrid.azure.net/.default"
    return Target(kind=TargetKind.EVENT_GRID, url=f"{origin}/{rest}", scope=scope)


def _service_bus(origin: str, path: str, query: str) -> Target:
    entity = _ENTITY.fullmatch(path)
    if query or not entity:
        raise ValueError("a Service Bus address with its queue or topic: https://<namespace>/<queue or topic>")
    scope = "https://servicebus.azure.net/.default"
    return Target(kind=TargetKind.SERVICE_BUS, url=f"{origin}{entity[1]}/messages?timeout=60", scope=scope)
