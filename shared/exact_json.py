"""JSON whose numbers keep their digits: decimals are read as `Decimal` and written in plain digits (RFC 8259, 6)."""

import json
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

#: Powers of ten that a number may have: BC's decimals have 28 digits, and a number is written without exponent.
MAX_EXPONENT: Final = 100
#: Levels of nesting in a document from outside; the deepest that means something has five.
MAX_DEPTH: Final = 64


def loads(body: bytes | str) -> Any:
    """Decode JSON with decimals exact.

    Raises:
        ValueError: not JSON, not UTF-8, deeper than any message needs, half a surrogate pair in a text, or a
            number beyond all bounds: what could not be encoded, hashed or stored afterwards.
    """
    text = body.decode("utf-8-sig") if isinstance(body, bytes) else body
    try:
        document = json.loads(text, parse_float=_decimal, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    _check_members([document], MAX_DEPTH, texts="\\u" in text)
    return document


def _check_members(members: Iterable[Any], left: int, *, texts: bool) -> None:
    for member in members:
        if isinstance(member, dict | list):
            if not left:
                raise ValueError("nested too deeply")
            inner = member if isinstance(member, list) else [*member, *member.values()] if texts else member.values()
            _check_members(inner, left - 1, texts=texts)
        elif texts and isinstance(member, str):
            member.encode()  # a lone surrogate raises UnicodeEncodeError, which is a ValueError


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError("a number is out of range") from error
    if abs(number.adjusted()) > MAX_EXPONENT:
        raise ValueError("a number is out of range")
    return number


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def dumps(value: Any) -> str:
    """Encode as compact JSON; `Decimal` is written digit for digit, without exponent, which `json` alone can't do."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(str(name))}:{dumps(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(dumps(entry) for entry in value) + "]"
    return json.dumps(value)
