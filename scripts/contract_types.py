#!/usr/bin/env python3
"""Typed models for consumers: a module of TypedDicts made of the published JSON Schemas. Owns the translation only."""

import re
from collections.abc import Iterator
from typing import Any

HEADER = '''"""Messages of Business Central Connect, made by `python -m scripts.contract --types`; Python 3.11 on."""

from typing import Any, Literal, NotRequired, TypedDict

'''
EVENT = "#: `bc-events` carries arrays of these; `type` says which one it is.\nEvent = "
PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def typed_module(events: dict[str, dict[str, Any]], queues: dict[str, dict[str, Any]]) -> str:
    """Return the source of a module: a type for each event and message, and `Event`, the union of all events."""
    models = Models()
    names = [models.type_of(schema) for schema in events.values()]
    for schema in queues.values():
        models.type_of(schema)
    made, union = "\n".join(models.sources()), "\n    | ".join(names)
    return f"{HEADER}\n{made}\n{EVENT}(\n    {union}\n)\n"


class Models:
    """The TypedDicts made so far, each after those it uses."""

    def __init__(self) -> None:
        self._made: dict[str, str] = {}

    def sources(self) -> Iterator[str]:
        """Yield the source of each."""
        for name, body in self._made.items():
            yield f"{name} = {body.replace('NAME', name, 1)}\n"

    def type_of(self, schema: Any) -> str:
        """Return the Python type of a schema's values."""
        if schema is True or schema == {}:
            return "Any"
        if "oneOf" in schema:
            return self._add(pascal(schema["title"]), " | ".join(map(self.type_of, schema["oneOf"])))
        if "const" in schema or "enum" in schema:
            values = schema.get("enum", [schema.get("const")])
            return f"Literal[{', '.join(map(repr, values))}]"
        kinds = schema.get("type", [])
        found = [self._of_kind(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
        return " | ".join(found) or "Any"

    def _of_kind(self, kind: str, schema: dict[str, Any]) -> str:
        if kind == "array":
            return f"list[{self.type_of(schema['items'])}]"
        if kind == "object":
            return self._typed_dict(schema) if "properties" in schema else "dict[str, Any]"
        return PLAIN[kind]

    def _typed_dict(self, schema: dict[str, Any]) -> str:
        members = {name: self.type_of(inner) for name, inner in schema["properties"].items() if inner is not False}
        needed = schema.get("required", ())
        lines = [
            f'    "{name}": {found if name in needed else f"NotRequired[{found}]"},' for name, found in members.items()
        ]
        return self._add(pascal(schema["title"]), f'TypedDict("NAME", {{\n{chr(10).join(lines)}\n}})')

    def _add(self, name: str, body: str) -> str:
        """Keep a type under its name; another type of that name gets a number."""
        names = (name, *(f"{name}{number}" for number in range(2, 1000)))
        free = next(one for one in names if self._made.get(one, body) == body)
        self._made[free] = body
        return free


def pascal(title: str) -> str:
    """Return a title as a class name: `bc.item.created.v1` is `ItemCreatedV1`."""
    words = re.split(r"\W+", title.removeprefix("bc."))
    return "".join(word[:1].upper() + word[1:] for word in words)
