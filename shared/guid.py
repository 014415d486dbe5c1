"""A GUID as Business Central and Entra write it: 8-4-4-4-12 hex digits and no braces (RFC 9562, section 4)."""

import re
from typing import Final

#: Part of a pattern that is matched in any case.
PATTERN: Final = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_GUID: Final = re.compile(PATTERN)


def is_guid(value: object) -> bool:
    """Return whether a value is a text and a GUID from end to end."""
    return isinstance(value, str) and _GUID.fullmatch(value) is not None
