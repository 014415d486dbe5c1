"""Upper case as .NET's invariant culture makes it, which is how AL upper-cases a Code: one sign for one sign.

`ß`, `ŉ` and the ligatures stay as they are, where Python's `upper` makes two signs of them; `ı` and `ſ` stay as well.
"""

from typing import Final

_STAY: Final = frozenset("\u0131\u017f")


def to_upper(text: str) -> str:
    """Return the text in upper case."""
    upper = text.upper()
    if len(upper) == len(text) and _STAY.isdisjoint(text):
        return upper
    return "".join(_upper_one(sign) for sign in text)


def _upper_one(sign: str) -> str:
    if sign in _STAY:
        return sign
    upper = sign.upper()
    if len(upper) == 1:
        return upper
    title = sign.title()
    return title if len(title) == 1 else sign
