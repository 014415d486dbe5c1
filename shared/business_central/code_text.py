"""Codes as Business Central compares them: without blanks around, in the upper case of .NET's invariant culture.

.NET maps one character to one character (Unicode's simple case mapping), Python one to many: `ß` stays `ß` here and is
`SS` there. The dotless `ı` keeps its case (docs: "Best practices for comparing strings in .NET").
"""

from typing import Final

_DOTLESS_I: Final = "\u0131"


def code_of(text: str) -> str:
    """Return a text as a field of type Code holds it."""
    text = text.strip()
    return text.upper() if text.isascii() else "".join(map(_upper, text))


def _upper(char: str) -> str:
    upper = char.upper()
    return char if len(upper) != 1 or char == _DOTLESS_I or max(char, upper) > "\uffff" else upper
