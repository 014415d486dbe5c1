"""URLs: both forms of the API root, companies and keys, taken apart without knowing what lies behind them."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from business_central_emulator.data import errors
from business_central_emulator.data.values import GUID_PATTERN

_SEGMENT: Final = re.compile(r"([\w.$]+)(?:\((.*)\))?", re.DOTALL)
STANDARD_API: Final = "v2.0"
RUNTIME_API: Final = "microsoft/runtime/beta"


@dataclass(frozen=True, slots=True)
class Segment:
    """One path segment: a name and perhaps a key."""

    name: str
    key: str | None = None  # as written, quotes included

    def guid(self) -> str:
        """Return the key as a GUID.

        Raises:
            ApiError: 404, the recorded text for a key that cannot be parsed.
        """
        if self.key is None or not GUID_PATTERN.fullmatch(self.key):
            raise errors.query_syntax()
        return self.key.lower()

    def text(self) -> str:
        """Return the key of a set with text keys; it must be quoted.

        Raises:
            ApiError: 404, the recorded text for a key that cannot be parsed.
        """
        if self.key is None or len(self.key) < 2 or self.key[0] != "'" or self.key[-1] != "'":
            raise errors.query_syntax()
        return self.key[1:-1].replace("''", "'")


@dataclass(frozen=True, slots=True)
class Address:
    """A URL of the API."""

    url: str  # without its query
    root: str  # origin and path up to and including the API's version
    tenant: str | None  # as in the path; None when the token says it
    environment: str
    api: str  # "v2.0", or publisher/group/version
    segments: tuple[Segment, ...]
    query: str  # raw


def parse_address(url: str) -> Address:
    """Take an absolute URL apart.

    Raises:
        ApiError: not a URL of an API this emulator knows.
    """
    parts = urlsplit(url)
    raw = [one for one in parts.path.split("/") if one]
    if len(raw) < 2 or raw[0].lower() != "v2.0":
        raise errors.segment_not_found(raw[0] if raw else "")
    lowered = [one.lower() for one in raw]
    at = lowered.index("api", 1) if "api" in lowered[1:] else 0
    if at not in (2, 3):
        raise errors.NotEmulatedError(f"the path /{'/'.join(raw[:4])}")
    length = 1 if lowered[at + 1 : at + 2] == [STANDARD_API] else 3
    api = "/".join(lowered[at + 1 : at + 1 + length])
    root = f"{parts.scheme}://{parts.netloc}/{'/'.join(raw[: at + 1 + length])}"
    segments = tuple(_segment(unquote(one)) for one in raw[at + 1 + length :])
    return Address(
        url=f"{parts.scheme}://{parts.netloc}{parts.path}",
        root=root,
        tenant=unquote(raw[1]) if at == 3 else None,
        environment=unquote(raw[at - 1]),
        api=api,
        segments=segments,
        query=parts.query,
    )


def _segment(text: str) -> Segment:
    found = _SEGMENT.fullmatch(text)
    if found is None:
        raise errors.query_syntax()
    return Segment(found[1], found[2])
