"""Owns binding data: the values an invocation offers to ``{field}`` expressions, and their replacement.

Binding data is a dictionary whose names match whatever their case. A JSON object in the trigger's body adds its members
to it, over what the trigger itself gave: a body field ``id`` hides the message's own id (worker issue 1373).
"""

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

_EXPRESSION = re.compile(r"\{([^{}]*)\}")
_DATE_PARTS = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_DATE_TOKEN = re.compile("|".join(_DATE_PARTS))


class BindingData:
    """An ordered dictionary with names that match whatever their case; a later value keeps the first spelling."""

    def __init__(self, values: Mapping[str, object] | None = None) -> None:
        self._values: dict[str, tuple[str, object]] = {}
        self.update((values or {}).items())

    def update(self, items: Iterable[tuple[str, object]]) -> None:
        """Add or replace values."""
        for name, value in items:
            spelling = self._values.get(name.casefold(), (name, None))[0]
            self._values[name.casefold()] = (spelling, value)

    def add_json_body(self, body: str) -> None:
        """Add the members of a JSON object that are neither arrays nor null; any other body adds nothing."""
        text = body.strip()
        if not (text.startswith("{") and text.endswith("}")):
            return
        try:
            members = json.loads(text, parse_float=str)
        except ValueError:
            return
        self.update((name, _as_text(value)) for name, value in members.items() if not isinstance(value, list | None))

    def items(self) -> list[tuple[str, object]]:
        """Return names, in their first spelling, with their values."""
        return list(self._values.values())

    def get(self, name: str) -> object:
        """Return a value, or None."""
        return self._values.get(name.casefold(), (name, None))[1]


def _as_text(value: object) -> object:
    """Return what .NET makes of a JSON value: numbers and booleans become text, objects stay objects."""
    return value if isinstance(value, dict | str) else str(value)


def fill_expressions(template: str, values: BindingData, *, function: str, now: datetime | None = None) -> str:
    """Replace every ``{name}``, ``{name.member}``, ``{rand-guid}``, ``{datetime}`` and ``{sys.*}`` of a template.

    Raises:
        ValueError: nothing has that name, or a brace is not closed.
    """
    moment = now or datetime.now(UTC)
    filled = _EXPRESSION.sub(lambda match: _value(match.group(1).strip(), values, function, moment), template)
    if "{" in _EXPRESSION.sub("", template) or "}" in _EXPRESSION.sub("", template):
        raise ValueError(f"{template!r} has a brace that is not closed")
    return filled


def _value(expression: str, values: BindingData, function: str, now: datetime) -> str:
    name, _, form = expression.partition(":")
    match name.casefold():
        case "rand-guid":
            return _guid(form)
        case "sys.randguid":
            return str(uuid.uuid4())
        case "datetime":
            return now.strftime(_DATE_TOKEN.sub(lambda part: _DATE_PARTS[part.group()], form or "yyyy-MM-ddTHH-mm-ssZ"))
        case "sys.utcnow":
            return now.strftime("%Y-%m-%dT%H-%M-%SZ")
        case "sys.methodname":
            return function
    head, *members = name.split(".")
    value: Any = values.get(head)
    for member in members:
        value = BindingData(value).get(member) if isinstance(value, dict) else None
    if value is None:
        raise ValueError(f"no value for named parameter {name!r}")
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _guid(form: str) -> str:
    value = uuid.uuid4()
    match form.upper() or "D":
        case "D":
            return str(value)
        case "N":
            return value.hex
        case "B":
            return f"{{{value}}}"
        case "P":
            return f"({value})"
    raise ValueError(f"{form!r} is not a GUID format (N, D, B or P)")
