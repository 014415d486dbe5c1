"""The order key that a request of a person names, in its query or, where that can be, in its path."""

from collections.abc import Mapping
from typing import Final

from shared.errors import InvalidMessage

_ASK_BY_KEY: Final = "a key that holds / \\ % or nothing is no part of a path; ask with it percent-encoded in the query"


def asked_key(query: Mapping[str, str], route: Mapping[str, str], way: str) -> str:
    """Return the order key that a request names; InvalidMessage says `way` when its path can't name one.

    The host leaves `%2F` encoded in a route value, where it looks like `%252F` (reference: functions-host 10.2).
    """
    key = str(query.get("key", "") or route.get("key", ""))
    if not key or (set(key) & set("/\\%") and not query.get("key")):
        raise InvalidMessage([f"{_ASK_BY_KEY}: {way}"])
    return key
