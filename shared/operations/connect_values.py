"""What the connect page's routes take and give: a request as the trigger passes it on, its form, and a reply. Pure."""

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from shared.operations.page_style import HEADERS

#: Bytes of a form; those of the page have some 300. It is parsed only for a session, and never when it is larger.
MAX_FORM: Final = 16 * 1024
_MAX_FIELDS: Final = 20
_ONE_YEAR_S: Final = 365 * 24 * 3600


class Action(StrEnum):
    """What a form on the page asks for."""

    CONNECT = "connect"
    DISCONNECT = "disconnect"
    END_SESSION = "end_session"
    SYNC = "sync"
    REDRIVE_ORDER = "redrive_order"
    REDRIVE_CAUSE = "redrive_cause"
    DISMISS_ORDER = "dismiss_order"
    ERASE_KEY = "erase_key"
    REDRIVE_DEAD_LETTER = "redrive_dead_letter"
    REDRIVE_QUEUE = "redrive_queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the trigger passes on."""

    method: str = "GET"
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cookie: str = ""  # the Cookie header

    def form(self) -> dict[str, str] | None:
        """Return the fields of a form body, of a repeated one the first; None for a body that is no form of ours."""
        if len(self.body) > MAX_FORM:
            return None
        try:
            pairs = parse_qsl(self.body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
        except ValueError:  # not UTF-8, or too many fields
            return None
        return dict(reversed(pairs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the trigger answers; `cookie` is a whole Set-Cookie header."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: dict(HEADERS))
    cookie: str = ""

    def to_text(self, url: str) -> str:
        """Return the reply as the text from which the Functions host makes an answer to a call of `url`.

        A function that answers a `str` of JSON with `status`, `headers` and `body` has its headers passed on as they
        are. Those of a `func.HttpResponse` are not: the worker library takes cookies apart and adds an empty Domain,
        which arrives in Azure as the app's name, and browsers refuse a `__Host-` cookie that has one. Source: measured
        on host 4.1037 with azure-functions 2.3; tests/contract/test_sign_in_cookie.py says when the library changes.
        """
        headers = {"Content-Type": "text/html; charset=utf-8", **self.headers, **_strict_transport(url)}
        if self.cookie:
            headers["Set-Cookie"] = self.cookie
        return json.dumps({"status": self.status, "headers": headers, "body": self.body})


def see_other(address: str, *, cookie: str = "") -> Reply:
    """Return a redirect to an address of ours or of the login; none ever comes from a request."""
    return Reply(status=303, headers={**HEADERS, "Location": address}, cookie=cookie)


def _strict_transport(url: str) -> dict[str, str]:
    """Return the header of RFC 6797; not for a developer's own machine, where it would hit every port of the name."""
    host = urlsplit(url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        is_name = host not in {"", "localhost"} and not host.endswith(".localhost")
        return {"Strict-Transport-Security": f"max-age={_ONE_YEAR_S}"} if is_name else {}
    return {}
