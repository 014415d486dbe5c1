"""What the connect page's routes take and give: a request as the trigger passes it on, and a reply. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from shared.operations.page_style import HEADERS

HTML: Final = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the trigger passes on."""

    method: str = "GET"
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)  # fields of a form body; of a repeated one the first
    cookie: str = ""  # the Cookie header


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the trigger answers; `cookies` are whole Set-Cookie headers."""

    status: int
    body: str = ""
    content_type: str = HTML
    headers: Mapping[str, str] = field(default_factory=lambda: dict(HEADERS))
    cookies: tuple[str, ...] = ()


def see_other(address: str, *, cookies: tuple[str, ...] = ()) -> Reply:
    """Return a redirect to an address of ours or of the login; none ever comes from a request."""
    return Reply(status=303, headers={**HEADERS, "Location": address}, cookies=cookies)
