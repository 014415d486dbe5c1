"""The `$filter` subset of API v2.0: parsed to a small tree, checked by BC's rules, compiled to a predicate.

Rules kept (API reference 4.2): GUIDs, dates, numbers and booleans unquoted, texts and enums quoted; `or` only over one
field; a lambda drops the whole expression without a word; unknown properties are refused by name. Whatever else OData
has (`not`, `in`, nested functions, paths) is answered 501 by this emulator.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final

from business_central_emulator.data import errors, values
from business_central_emulator.data.schema import EDM, Column, Entity, Kind

Predicate = Callable[[list[Any]], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')"
    r"|(?P<time>\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d))"
    r"|(?P<guid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
    r"|(?P<date>\d{4}-\d\d-\d\d)"
    r"|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<word>[A-Za-z_][\w/.]*)"
    r"|(?P<mark>[(),]))"
)
_LAMBDA = re.compile(r"/(?:any|all)\s*\(")
_OPERATORS: Final = {"eq": eq, "ne": ne, "gt": gt, "ge": ge, "lt": lt, "le": le}
_OPERATOR_KINDS: Final = {
    "eq": "Equal", "ne": "NotEqual", "gt": "GreaterThan", "ge": "GreaterThanOrEqual", "lt": "LessThan",
    "le": "LessThanOrEqual",
}  # fmt: skip
_MATCHES: Final[dict[str, Callable[[str, str], bool]]] = {
    "startswith": str.startswith,
    "endswith": str.endswith,
    "contains": str.__contains__,
}
_LITERAL_EDM: Final = {
    "string": "Edm.String", "time": "Edm.DateTimeOffset", "guid": "Edm.Guid", "date": "Edm.Date",
    "number": "Edm.Decimal", "word": "Edm.Boolean",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Comparison:
    """`column op value`; texts are compared without regard to case."""

    column: Column
    op: str
    value: Any


@dataclass(frozen=True, slots=True)
class Match:
    """`startswith(column,'x')` and its kin."""

    column: Column
    function: str
    value: str


@dataclass(frozen=True, slots=True)
class Both:
    """`left and right`."""

    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Either:
    """`left or right`, over one field."""

    left: "Node"
    right: "Node"


Node = Comparison | Match | Both | Either


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def parse(text: str, entity: Entity) -> Node | None:
    """Return the tree of a filter, or None when a lambda made BC drop it.

    Raises:
        ApiError: 400 for syntax, literals and unknown properties; 501 for `or` over two fields and the unknown.
    """
    if _LAMBDA.search(text):
        return None
    parser = _Parser(list(_tokens(text)), entity)
    node = parser.disjunction()
    parser.end()
    return node


def compile_node(node: Node, entity: Entity) -> Predicate:
    """Return a predicate over a row's values."""
    match node:
        case Both(left, right):
            first, second = compile_node(left, entity), compile_node(right, entity)
            return lambda row: first(row) and second(row)
        case Either(left, right):
            first, second = compile_node(left, entity), compile_node(right, entity)
            return lambda row: first(row) or second(row)
        case Match(column, function, value):
            at, test = entity.position[column.name], _MATCHES[function]
            return lambda row: test(row[at].casefold(), value)
        case Comparison(column, op, value):
            at, compare = entity.position[column.name], _OPERATORS[op]
            if column.kind is Kind.TEXT:
                return lambda row: bool(compare(row[at].casefold(), value))
            return lambda row: bool(compare(row[at], value))


def conjuncts(node: Node | None) -> Iterator[Node]:
    """Yield the terms that must all hold, for the query planner."""
    if isinstance(node, Both):
        yield from conjuncts(node.left)
        yield from conjuncts(node.right)
    elif node is not None:
        yield node


def equal_values(node: Node) -> tuple[str, list[Any]] | None:
    """Return (property, values) when the term is `p eq a` or `p eq a or p eq b ...`, else None."""
    if isinstance(node, Comparison) and node.op == "eq":
        return node.column.name, [node.value]
    if isinstance(node, Either):
        left, right = equal_values(node.left), equal_values(node.right)
        if left and right and left[0] == right[0]:
            return left[0], left[1] + right[1]
    return None


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text.rstrip()):
        found = _TOKEN.match(text, at)
        if found is None:
            raise errors.bad_request(f"Syntax error at position {at} in '{text}'.")
        at = found.end()
        kind = str(found.lastgroup)
        yield _Token(kind, found[kind])


class _Parser:
    def __init__(self, tokens: list[_Token], entity: Entity) -> None:
        self._tokens = tokens
        self._at = 0
        self._entity = entity

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise errors.bad_request(f"Syntax error: unexpected '{self._tokens[self._at].text}' in the filter.")

    def disjunction(self) -> Node:
        node = self._conjunction()
        while self._accept("or"):
            node = Either(node, self._conjunction())
            if len(set(_fields(node))) > 1:
                raise errors.ApiError(
                    501,
                    "BadRequest_MethodNotImplemented",
                    "The 'OR' operator is not supported on distinct fields on an OData filter.",
                )
        return node

    def _conjunction(self) -> Node:
        node = self._term()
        while self._accept("and"):
            node = Both(node, self._term())
        return node

    def _term(self) -> Node:
        if self._accept("("):
            node = self.disjunction()
            self._expect(")")
            return node
        word = self._take("word").text
        if word in _MATCHES:
            return self._match(word)
        if word in ("tolower", "toupper"):
            self._expect("(")
            column = self._property(self._take("word").text)
            self._expect(")")
            return self._comparison(column)
        if word in ("not", "in", "true", "false") or self._peek() == "(" or "/" in word:
            raise errors.NotEmulatedError(f"'{word}' in a $filter")
        return self._comparison(self._property(word))

    def _match(self, function: str) -> Node:
        self._expect("(")
        word = self._take("word").text
        if self._peek() == "(":
            raise errors.NotEmulatedError("nested functions in a $filter (schema version 2.1)")
        column = self._property(word)
        self._expect(",")
        literal = self._take("string")
        self._expect(")")
        if column.kind not in (Kind.TEXT, Kind.CODE):
            raise errors.bad_request(f"No function signature for the function with name '{function}' matches.")
        return Match(column, function, _unquote(literal.text).casefold())

    def _comparison(self, column: Column) -> Node:
        operator = self._take("word").text
        if operator not in _OPERATORS:
            if operator == "in":
                raise errors.NotEmulatedError("'in' in a $filter (schema version 2.1)")
            raise errors.bad_request(f"Syntax error: '{operator}' is not an operator of a filter.")
        if self._at >= len(self._tokens):
            raise errors.bad_request("Syntax error: the filter ends after its operator.")
        token = self._tokens[self._at]
        self._at += 1
        return Comparison(column, operator, _literal(column, operator, token))

    def _property(self, name: str) -> Column:
        column = self._entity.column(name)
        if column is None:
            raise errors.unknown_property_in_filter(name, self._entity.type_name)
        return column

    def _peek(self) -> str:
        return self._tokens[self._at].text if self._at < len(self._tokens) else ""

    def _accept(self, text: str) -> bool:
        if self._peek() == text and self._tokens[self._at].kind != "string":
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise errors.bad_request(f"Syntax error: '{text}' expected in the filter, found '{self._peek()}'.")

    def _take(self, kind: str) -> _Token:
        if self._at >= len(self._tokens) or self._tokens[self._at].kind != kind:
            raise errors.bad_request(f"Syntax error: {kind} expected in the filter, found '{self._peek()}'.")
        self._at += 1
        return self._tokens[self._at - 1]


def _fields(node: Node) -> Iterator[str]:
    if isinstance(node, Both | Either):
        yield from _fields(node.left)
        yield from _fields(node.right)
    else:
        yield node.column.name


def _unquote(text: str) -> str:
    return text[1:-1].replace("''", "'")


def _literal(column: Column, operator: str, token: _Token) -> Any:
    try:
        return _typed(column, token)
    except (ValueError, InvalidOperation):
        raise errors.bad_request(
            "A binary operator with incompatible types was detected. Found operand types "
            f"'{EDM.get(column.kind, 'Microsoft.NAV.' + column.enum)}' and "
            f"'{_LITERAL_EDM.get(token.kind, token.text)}' for operator kind '{_OPERATOR_KINDS[operator]}'."
        ) from None


def _typed(column: Column, token: _Token) -> Any:
    wanted = {
        Kind.TEXT: "string", Kind.CODE: "string", Kind.ENUM: "string", Kind.GUID: "guid", Kind.DATE: "date",
        Kind.DATETIME: "time", Kind.DECIMAL: "number", Kind.INT32: "number", Kind.INT64: "number", Kind.BOOLEAN: "word",
    }[column.kind]  # fmt: skip
    if token.text == "null":
        raise errors.NotEmulatedError("null in a $filter")
    if token.kind != wanted:
        raise ValueError(token.kind)
    match column.kind:
        case Kind.TEXT:
            return _unquote(token.text).casefold()
        case Kind.CODE:
            return _unquote(token.text).strip().upper()
        case Kind.ENUM:
            return values.parse_enum(column, _unquote(token.text))
        case Kind.GUID:
            return token.text.lower()
        case Kind.DATE:
            return date.fromisoformat(token.text).isoformat()
        case Kind.DATETIME:
            return values.parse_datetime(token.text)
        case Kind.BOOLEAN:
            if token.text not in ("true", "false"):
                raise ValueError(token.text)
            return token.text == "true"
        case _:
            return Decimal(token.text)
