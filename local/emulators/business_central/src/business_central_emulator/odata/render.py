"""Rows as JSON text. The full row is written once per version and kept, so that a large page is one join.

Computed values (inventory, remainingAmount) are part of the cached text; the store drops it when they change.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import Entity
from business_central_emulator.data.values import WRITERS
from business_central_emulator.odata.query import Options

Writer = Callable[[Any], str]
#: Given a row and a navigation property with its options, returns the expanded JSON text.
Expander = Callable[[Record, str, Options], bytes]


@cache
def _writers(entity: Entity, select: tuple[str, ...] | None) -> tuple[tuple[int, str, Writer], ...]:
    return tuple(
        (at, f'"{column.name}":', WRITERS[column.kind])
        for at, column in enumerate(entity.columns)
        if not column.hidden and (select is None or column.name in select)
    )


def _fields(entity: Entity, row: list[Any], select: tuple[str, ...] | None) -> str:
    return ",".join([name + write(row[at]) for at, name, write in _writers(entity, select)])


def row_json(record: Record, *, etag: bool = True, select: tuple[str, ...] | None = None) -> bytes:
    """Return one row as a JSON object; companies carry no ETag (recorded)."""
    shows_etag = etag and record.entity.name != "companies"
    if select is None and shows_etag:
        if record.rendered is None:
            record.rendered = _object(record, record.row, None, shows_etag=True)
        return record.rendered
    return _object(record, record.row, select, shows_etag=shows_etag)


def _object(record: Record, row: list[Any], select: tuple[str, ...] | None, *, shows_etag: bool) -> bytes:
    fields = _fields(record.entity, row, select)
    if not shows_etag:
        return f"{{{fields}}}".encode()
    tag = record.etag().replace('"', '\\"')
    return f'{{"@odata.etag":"{tag}"{"," if fields else ""}{fields}}}'.encode()


def with_expansions(text: bytes, record: Record, expand: Mapping[str, Options], expander: Expander) -> bytes:
    """Return the object with its expanded navigation properties at the end, as recorded."""
    if not expand:
        return text
    parts = [f'"{name}":'.encode() + expander(record, name, options) for name, options in expand.items()]
    joined = b",".join(parts)
    return text[:-1] + (b"" if text == b"{}" else b",") + joined + b"}"
