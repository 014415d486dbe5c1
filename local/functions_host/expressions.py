"""Owns binding data: the values an invocation offers to ``{field}`` expressions, and their replacement.

Binding data is a dictionary whose names match whatever their case. A JSON object in the trigger's body adds its members
to it, over what the trigger itself gave: a body field ``id`` hides the message's own id (worker issue 1373).
"""

import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from local.functions_host import json_net
from local.functions_host.values import whole_text

LONGEST_BLOB_NAME: Final = 1024

_EXPRESSION = re.compile(r"\{([^{}]*)\}")
_DATE_PARTS = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_DATE_TOKEN = re.compile("|".join(_DATE_PARTS))


class BindingData:
    """An ordered dictionary with names that match whatever their case; a later value keeps the first spelling.

    Values are text, dictionaries or `json_net.Time`; a datetime is one of the trigger's own.
    """

    def __init__(self, values: Mapping[str, object] | None = None) -> None:
        self._values: dict[str, tuple[str, object]] = {}
        self._later: list[Callable[[], None]] = []
        self.update((values or {}).items())

    def update(self, items: Iterable[tuple[str, object]]) -> None:
        """Add or replace values."""
        for name, value in items:
            spelling = self._values.get(name.casefold(), (name, None))[0]
            self._values[name.casefold()] = (spelling, value)

    def fill_later(self, fill: Callable[["BindingData"], None]) -> None:
        """Have values added when something is first asked for: most outputs have no expression."""
        self._later.append(lambda: fill(self))

    def add_json_body(self, body: str) -> None:
        """Add the members of a JSON object that are neither arrays nor null; any other body adds nothing."""
        text = body.strip()
        if not (text.startswith("{") and text.endswith("}")):
            return
        try:
            members = json_net.read(text)
        except ValueError:
            return
        self.update((name, _member(value)) for name, value in members.items() if not isinstance(value, list | None))

    def items(self) -> list[tuple[str, object]]:
        """Return names, in their first spelling, with their values."""
        self._fill()
        return list(self._values.values())

    def get(self, name: str) -> object:
        """Return a value, or None."""
        self._fill()
        return self._values.get(name.casefold(), (name, None))[1]

    def _fill(self) -> None:
        while self._later:
            self._later.pop(0)()


def _member(value: object) -> object:
    """Return what a member becomes: objects stay objects, all else becomes .NET's text of it."""
    return value if isinstance(value, dict) else json_net.as_text(value)


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
        case "datetime":
            return now.strftime(_DATE_TOKEN.sub(lambda part: _DATE_PARTS[part.group()], form or "yyyy-MM-ddTHH-mm-ssZ"))
    head, *members = name.split(".")
    value: Any = values.get(head)
    if head.casefold() == "sys" and value is None:
        value = {"methodname": function, "randguid": str(uuid.uuid4()), "utcnow": f"{now:%Y-%m-%dT%H-%M-%SZ}"}
    for member in members:
        value = BindingData(value).get(member) if isinstance(value, dict) else None
    if value is None:
        raise ValueError(f"no value for named parameter {name!r}")
    # Recorded: neither an object nor one of the message's own times has a text here.
    return "" if isinstance(value, dict | datetime) else whole_text(json_net.as_text(value))


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


def blob_target(path: str) -> tuple[str, str]:
    """Return container and name of a filled blob path.

    Raises:
        ValueError: not container/name, or a name that the storage extension refuses.
    """
    container, _, name = path.partition("/")
    if not container or not name:
        raise ValueError(f"blob path {path!r} is not container/name")
    if len(name) > LONGEST_BLOB_NAME or "\\" in name or {".", ".."} & set(name.split("/")):
        raise ValueError(f"{name[:80]!r} is not a valid blob name")
    return container, name
