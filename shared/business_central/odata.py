"""OData as Business Central speaks it: URLs and literals on the way out, errors and links on the way back.

The only module that builds a filter and the only one where an HTTP answer becomes an exception.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from shared import exact_json
from shared.errors import BCConflict, BCDenied, BCError, BCNotFound, BCRejected, BCThrottled, BCUnavailable

_BY_STATUS: Final[dict[int, type[BCError]]] = {
    401: BCDenied,
    403: BCDenied,
    404: BCNotFound,
    408: BCUnavailable,
    409: BCConflict,
    412: BCConflict,
    429: BCThrottled,
}
#: A refused order may carry this in a 409; it is a rule of BC, not a passing conflict.
_FINAL_CONFLICTS: Final = frozenset({"Internal_EntityWithSameKeyExists"})
_MESSAGE_CHARS: Final = 600
_CORRELATION: Final = re.compile(r"\s*CorrelationId:\s*([0-9a-fA-F-]{36})\.?\s*$")
_XML_ERROR: Final = re.compile(rb"<code>([^<]{1,200})</code>\s*<message[^>]*>([^<]{0,600})</message>")

#: Characters that a filter value may hold without meaning something else to AL's own filter language.
_PLAIN_VALUE: Final = re.compile(r"(?!.*\.\.)[A-Za-z0-9 _/:,;#+.-]*")


def text_literal(value: str) -> str:
    """Return a quoted OData string."""
    return "'" + value.replace("'", "''") + "'"


def is_plain(value: str) -> bool:
    """Say whether `field eq 'value'` compares the value as it is, and not as a pattern of AL (`*`, `|`, `..`, `@`)."""
    return bool(_PLAIN_VALUE.fullmatch(value))


def any_id(keys: Sequence[str]) -> str:
    """Return a filter for several records; `or` on one field is the only kind BC takes."""
    return " or ".join(f"id eq {key}" for key in keys)


def query(options: Mapping[str, str]) -> str:
    """Return `?$name=value&...` with every value percent-encoded; options with an empty value are left out."""
    pairs = [f"${name}={quote(value, safe='(),')}" for name, value in options.items() if value]
    return "?" + "&".join(pairs) if pairs else ""


def is_link_within(link: str, api_url: str, resource: str) -> bool:
    """Say whether a next link stays on our API, on the very collection we asked for (P15).

    BC may add or drop the tenant segment, so the path is compared from `/api/` on.
    """
    parts, home = urlsplit(link), urlsplit(api_url)
    path = unquote(parts.path).lower()
    return (
        (parts.scheme, parts.netloc.lower()) == (home.scheme, home.netloc.lower())
        and path.startswith("/v2.0/")
        and path.endswith("/" + resource.lower())
        and path.count("/api/") == 1
        and "/.." not in path
    )


def error_from(status: int, headers: Mapping[str, str], body: bytes) -> BCError:
    """Return the error for an answer of 300 or more; never raises, as gateways answer in HTML, XML or not at all."""
    code, message = _read_error(body)
    correlation_id = headers.get("ms-correlation-x", "") or headers.get("request-id", "")
    found = _CORRELATION.search(message)
    if found:
        correlation_id, message = found[1], message[: found.start()]
    kind = _BY_STATUS.get(status, BCUnavailable if status >= 500 else BCRejected)
    if code in _FINAL_CONFLICTS or code == "BadRequest_MethodNotImplemented":
        kind = BCRejected
    return kind(
        message or f"HTTP {status}",
        status=status,
        code=code,
        correlation_id=correlation_id,
        retry_after_s=parse_retry_after(headers.get("Retry-After")),
    )


def _read_error(body: bytes) -> tuple[str, str]:
    try:
        error = exact_json.loads(body)["error"]
        return str(error["code"])[:200], str(error["message"])[:_MESSAGE_CHARS]
    except (ValueError, KeyError, TypeError, RecursionError):
        found = _XML_ERROR.search(body[:4096])
        if found:
            return found[1].decode(errors="replace"), found[2].decode(errors="replace")
        return "", ""


def parse_retry_after(value: str | None) -> float | None:
    """Return seconds from a Retry-After header given in seconds; None for a date or nonsense."""
    if value is None or not value.strip().isdigit():
        return None
    return min(float(value), 3600.0)


def parse_date(value: str | None) -> datetime | None:
    """Return the time of a Date header, None when it is absent or wrong."""
    if not value:
        return None
    try:
        parsed = parsedate_to_datetime(value)
    except ValueError:
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
