"""OData as Business Central speaks it: URLs and literals on the way out, errors and links on the way back.

The only module that builds a filter and the only one where an HTTP answer becomes an exception.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from shared import exact_json
from shared.errors import BCConflict, BCDenied, BCError, BCNotFound, BCRejected, BCThrottled, BCUnavailable
from shared.guid import is_guid

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
_PORTS: Final = {"https": 443, "http": 80}
_CORRELATION: Final = re.compile(r"\s*CorrelationId:\s*([0-9a-fA-F-]{36})\.?\s*$")
_XML_ERROR: Final = re.compile(rb"<code>([^<]{1,200})</code>\s*<message[^>]*>([^<]{0,600})</message>")
_NOT_IN_A_URL: Final = re.compile(r"[\x00-\x1f\x7f]|^ ")

#: Characters that a filter value may hold without meaning something else to AL's own filter language.
_PLAIN_VALUE: Final = re.compile(r"(?!.*\.\.)[A-Za-z0-9 _/:,;#+.-]*")
_PLAIN_PARTS: Final = re.compile(r"[A-Za-z0-9 _/:,;#+-]+(?:\.[A-Za-z0-9 _/:,;#+-]+)*")


def text_literal(value: str) -> str:
    """Return a quoted OData string."""
    return "'" + value.replace("'", "''") + "'"


def is_plain(value: str) -> bool:
    """Return whether `field eq 'value'` compares the value as it is, not as a pattern of AL (`*`, `|`, `..`, `@`)."""
    return bool(_PLAIN_VALUE.fullmatch(value))


def plain_part(value: str) -> str:
    """Return the longest part of a value that `contains(field,'part')` takes as it is, "" when there is none."""
    return max((part.strip() for part in _PLAIN_PARTS.findall(value)), key=len, default="")


def any_id(keys: Sequence[str], name: str = "id") -> str:
    """Return a filter for several records by the property of their id; `or` on one field is the only kind BC takes."""
    return " or ".join(f"{name} eq {key}" for key in keys)


def query(options: Mapping[str, str]) -> str:
    """Return `?$name=value&...` with every value percent-encoded; options with an empty value are left out."""
    pairs = [f"${name}={quote(value, safe='(),')}" for name, value in options.items() if value]
    return "?" + "&".join(pairs) if pairs else ""


def origin_of(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port, by which URLs compare (RFC 6454, 4); None for what is no URL or names a user.

    A URL holds no control characters (RFC 3986, 2): `urlsplit` drops some, which whoever sends it does not.
    """
    if _NOT_IN_A_URL.search(url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    if not parts.hostname or not port or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, port


def is_link_within(link: str, home: str) -> bool:
    """Return whether a next link stays in the very collection of the URL `home`, in its environment and company (P15).

    BC may add or drop the tenant, in the path or as an option `tenant`, and write a GUID where a domain was sent
    (reference: docs endpoints-apis-for-dynamics; next links as captured).
    """
    if origin_of(link) is None or origin_of(link) != origin_of(home):
        return False
    there, here = _segments(link), _segments(home)
    tenants = [there[1]] if len(there) == len(here) else []
    if there not in (here[:1] + tenants + here[2:], here):
        return False
    for name, value in parse_qsl(urlsplit(link).query, keep_blank_values=True):
        if name.lower() == "company":
            return False  # the path names it already
        if name.lower() == "tenant":
            tenants.append(value.lower())
    return all(tenant == here[1] or is_guid(tenant) != is_guid(here[1]) for tenant in tenants)


def _segments(url: str) -> list[str]:
    return [unquote(segment).lower() for segment in urlsplit(url).path.split("/")[1:]]


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
    except (ValueError, KeyError, TypeError):
        found = _XML_ERROR.search(body[:4096])
        if found:
            return found[1].decode(errors="replace"), found[2].decode(errors="replace")
        return "", ""


def parse_retry_after(value: str | None) -> float | None:
    """Return seconds from a Retry-After header given in seconds; None for a date or nonsense."""
    seconds = (value or "").strip()
    return min(float(seconds), 3600.0) if seconds.isascii() and seconds.isdigit() else None


def parse_date(value: str | None) -> datetime | None:
    """Return the time of a Date header, None when it is absent or wrong."""
    if not value:
        return None
    try:
        parsed = parsedate_to_datetime(value)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
