"""Which rows a query has to look at: the smallest index that covers it, and the position a skip token stands for.

The answer is the same as sorting and filtering the whole table; only the work differs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from business_central_emulator.data import errors
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import Entity, Kind
from business_central_emulator.data.store import Table
from business_central_emulator.odata.filter import Comparison, Node, Predicate, compile_node, conjuncts, equal_values
from business_central_emulator.odata.query import Options

_SELECTIVE: Final = (Kind.CODE, Kind.GUID, Kind.TEXT)
#: A range over another column than the order's is used when it leaves less than this share of the table.
_WORTH_SORTING: Final = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows in order from the start of the query, and how to go on behind a given row."""

    rows: Callable[[], Iterator[Record]]
    rows_after: Callable[[Record], Iterator[Record]]


def sort_columns(entity: Entity, options: Options) -> tuple[tuple[str, bool], ...]:
    """Return what rows are ordered by: the request's columns, then the table's primary key."""
    named = {name for name, _ in options.order}
    rest = tuple((name, False) for name in entity.order if name not in named)
    return options.order + rest


def plan(table: Table, options: Options, *, among: list[Record] | None = None) -> Plan:
    """Plan a query over a table, or over some of its rows (a navigation)."""
    order = sort_columns(table.entity, options)
    terms = list(conjuncts(options.node))
    predicate = compile_node(options.node, table.entity) if options.node else None
    if among is None:
        among = _by_value(table, terms)
    if among is None and all(not descending for _, descending in order):
        return _ordered(table, order, terms, predicate)
    rows = _sorted(_filtered(iter(among if among is not None else table), predicate), order)
    return Plan(lambda: iter(rows), lambda last: _behind(rows, last, order))


def _by_value(table: Table, terms: list[Node]) -> list[Record] | None:
    """Return the rows that an equality or a narrow time range leaves, or None."""
    for term in terms:
        equal = equal_values(term)
        if equal is None:
            continue
        name, wanted = equal
        if name == table.entity.key:
            return [record for value in dict.fromkeys(wanted) if (record := table.get(value))]
        column = table.entity.column(name)
        if column is not None and column.kind in _SELECTIVE:
            found = {record.id: record for value in wanted for record in table.where(name, value)}
            return list(found.values())
    if "lastModifiedDateTime" in table.entity.position:
        bounds = _bounds("lastModifiedDateTime", terms)
        if bounds:
            index = table.order(("lastModifiedDateTime",))
            span = index.span(**bounds)
            if len(span) * _WORTH_SORTING < len(table):
                return [index.at(place) for place in span]
    return None


def _bounds(name: str, terms: list[Node]) -> dict[str, Any]:
    """Return the range that the terms put on one column, as arguments of `OrderIndex.span`."""
    bounds: dict[str, Any] = {}
    for term in terms:
        if not isinstance(term, Comparison) or term.column.name != name:
            continue
        if term.op in ("gt", "ge") and ("low" not in bounds or term.value > bounds["low"]):
            bounds |= {"low": term.value, "low_open": term.op == "gt"}
        elif term.op in ("lt", "le") and ("high" not in bounds or term.value < bounds["high"]):
            bounds |= {"high": term.value, "high_open": term.op == "lt"}
    return bounds


def _ordered(table: Table, order: tuple[tuple[str, bool], ...], terms: list[Node], predicate: Predicate | None) -> Plan:
    index = table.order([name for name, _ in order])
    column = table.entity.column(order[0][0])
    # texts compare without regard to case, the index does not
    bounds = _bounds(order[0][0], terms) if column is not None and column.kind is not Kind.TEXT else {}
    span = index.span(**bounds)

    def walk(start: int) -> Iterator[Record]:
        return _filtered((index.at(place) for place in range(max(start, span.start), span.stop)), predicate)

    return Plan(lambda: walk(span.start), lambda last: walk(index.after(index.key(last))))


def _filtered(records: Iterator[Record], predicate: Predicate | None) -> Iterator[Record]:
    if predicate is None:
        return records
    return (record for record in records if predicate(record.row))


def _sorted(records: Iterator[Record], order: tuple[tuple[str, bool], ...]) -> list[Record]:
    rows = sorted(records, key=lambda record: record.id)
    for name, descending in reversed(order):  # stable sorts, least significant column first
        rows.sort(key=itemgetter(name), reverse=descending)
    return rows


def _compare(left: Record, right: Record, order: tuple[tuple[str, bool], ...]) -> int:
    for name, descending in order:
        first, second = left[name], right[name]
        if first != second:
            return -1 if (first < second) != descending else 1
    return (left.id > right.id) - (left.id < right.id)


def _behind(rows: list[Record], last: Record, order: tuple[tuple[str, bool], ...]) -> Iterator[Record]:
    return (record for record in rows if _compare(record, last, order) > 0)


def last_sent(table: Table, token: str) -> Record:
    """Return the row that a skip token names.

    Raises:
        ApiError: 400 SkipTokenIsNoLongerValid when it is gone.
    """
    key = token.strip("'").lower()
    record = table.get(key)
    if record is None and table.origin is not None:  # a replica that is further behind than the last page's
        record = table.origin.get(key)
    if record is None:
        raise errors.ApiError(400, "SkipTokenIsNoLongerValid", "The skip token is no longer valid.")
    return record
