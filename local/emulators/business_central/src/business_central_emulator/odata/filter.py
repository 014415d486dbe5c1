"""The `$filter` subset of API v2.0: parsed to a small tree, checked by BC's rules, compiled to a predicate.

Rules kept (docs "Using filter expressions in OData URIs"): GUIDs, dates, numbers and booleans unquoted, texts and
enums quoted; `or` only over one field; a lambda drops the whole expression without a word; unknown properties are
refused by name; `*` and `?` in a text are wildcards. `in`, nested functions and `null` need schema version 2.1. What
else OData has is answered 501.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final

from business_central_emulator.data import errors, values
from business_central_emulator.data.casing import to_upper
from business_central_emulator.data.schema import EDM, Column, Entity, Kind

Predicate = Callable[[list[Any]], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')"
    r"|(?P<time>\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d))"
    r"|(?P<guid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
    r"|(?P<date>\d{4}-\d\d-\d\d)"
    r"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r"|(?P<word>[A-Za-z_][\w/.]*)"
    r"|(?P<mark>[(),]))"
)
_LAMBDA = re.compile(r"/(?:any|all)\s*\(")
_LITERALS: Final = frozenset({"string", "time", "guid", "date", "number"})
_OPERATORS: Final = {"eq": eq, "ne": ne, "gt": gt, "ge": ge, "lt": lt, "le": le}
#: Valid OData that BC does not have, or that nobody has seen it answer.
_UNKNOWN_OPERATORS: Final = frozenset({"add", "sub", "mul", "div", "mod", "has"})
_OPERATOR_KINDS: Final = {
    "eq": "Equal", "ne": "NotEqual", "gt": "GreaterThan", "ge": "GreaterThanOrEqual", "lt": "LessThan",
    "le": "LessThanOrEqual",
}  # fmt: skip
_MATCHES: Final[dict[str, Callable[[str, str], bool]]] = {
    "startswith": str.startswith,
    "endswith": str.endswith,
    "contains": str.__contains__,
}
_CASE_FUNCTIONS: Final = ("tolower", "toupper")
_LITERAL_EDM: Final = {
    "string": "Edm.String", "time": "Edm.DateTimeOffset", "guid": "Edm.Guid", "date": "Edm.Date",
    "number": "Edm.Decimal", "word": "Edm.Boolean",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a filter may say: schema version 2.1 and, as a switch, AL's filter signs inside of texts."""

    is_21: bool = False
    al_signs: bool = False  # `|`, `&`, `..` and a leading `@` in a text compared with `eq` mean what they do in AL


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
class Pattern:
    """`column eq 'a*b?'`: AL's wildcards; or what AL's other signs make of a text. `test` gets the folded value."""

    column: Column
    test: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Part:
    """`substring(column,start) op 'x'`."""

    column: Column
    start: int
    op: str
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


Node = Comparison | Match | Pattern | Part | Both | Either


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def parse(text: str, entity: Entity, dialect: Dialect = Dialect()) -> Node | None:
    """Return the tree of a filter, or None when a lambda made BC drop it.

    Raises:
        ApiError: 400 for syntax, literals and unknown properties; 501 for `or` over two fields and the unknown.
    """
    if _LAMBDA.search(text):
        return None
    parser = _Parser(list(_tokens(text)), entity, dialect)
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
        case Pattern(column, matches):
            at = entity.position[column.name]
            return lambda row: matches(row[at].casefold())
        case Part(column, start, op, value):
            at, compare = entity.position[column.name], _OPERATORS[op]
            return lambda row: bool(compare(row[at][start:].casefold(), value))
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
    def __init__(self, tokens: list[_Token], entity: Entity, dialect: Dialect) -> None:
        self._tokens = tokens
        self._at = 0
        self._entity = entity
        self._dialect = dialect

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise errors.bad_request(f"Syntax error: unexpected '{self._tokens[self._at].text}' in the filter.")

    def disjunction(self) -> Node:
        node = self._conjunction()
        while self._accept("or"):
            node = Either(node, self._conjunction())
            if len(set(_fields(node))) > 1:
                raise _not_implemented("The 'OR' operator is not supported on distinct fields on an OData filter.")
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
        if self._kind() in _LITERALS:
            raise errors.NotEmulatedError("a literal in front of its operator in a $filter")
        word = self._take("word").text
        if word in _MATCHES:
            return self._match(word)
        if word in _CASE_FUNCTIONS:
            return self._comparison(self._in_case())
        if word == "substring":
            return self._substring()
        if word in ("not", "in", "true", "false") or self._peek() == "(" or "/" in word:
            raise errors.NotEmulatedError(f"'{word}' in a $filter")
        return self._comparison(self._property(word))

    def _in_case(self) -> Column:
        """Read `(column)` of tolower or toupper; case does not matter in BC's comparison."""
        self._expect("(")
        column = self._property(self._take("word").text)
        self._expect(")")
        return column

    def _match(self, function: str) -> Node:
        self._expect("(")
        word = self._take("word").text
        if self._peek() == "(":
            if not self._dialect.is_21 or word not in _CASE_FUNCTIONS:
                raise errors.NotEmulatedError(f"'{word}' inside of '{function}' in a $filter")
            column = self._in_case()
        else:
            column = self._property(word)
        self._expect(",")
        literal = self._take("string")
        self._expect(")")
        if self._peek() in _OPERATORS:
            raise errors.NotEmulatedError(f"'{function}(...) {self._peek()}' in a $filter")
        if column.kind not in (Kind.TEXT, Kind.CODE):
            raise errors.bad_request(f"No function signature for the function with name '{function}' matches.")
        return Match(column, function, _unquote(literal.text).casefold())

    def _substring(self) -> Node:
        self._expect("(")
        column = self._property(self._take("word").text)
        self._expect(",")
        start = self._take("number").text
        if self._accept(","):
            raise errors.NotEmulatedError("'substring' with a length in a $filter")
        self._expect(")")
        operator = self._take("word").text
        if operator not in ("eq", "ne") or not start.isdecimal() or column.kind not in (Kind.TEXT, Kind.CODE):
            raise errors.bad_request("Syntax error: substring(text,position) is compared with 'eq' or 'ne'.")
        return Part(column, int(start), operator, _unquote(self._take("string").text).casefold())

    def _comparison(self, column: Column) -> Node:
        operator = self._take("word").text
        if operator == "in":
            return self._among(column)
        if operator in _UNKNOWN_OPERATORS:
            raise errors.NotEmulatedError(f"'{operator}' in a $filter")
        if operator not in _OPERATORS:
            raise errors.bad_request(f"Syntax error: '{operator}' is not an operator of a filter.")
        if self._at >= len(self._tokens):
            raise errors.bad_request("Syntax error: the filter ends after its operator.")
        token = self._tokens[self._at]
        self._at += 1
        return self._compared(column, operator, token)

    def _compared(self, column: Column, operator: str, token: _Token) -> Node:
        if token.text == "(" or (token.kind == "word" and self._kind() == "string"):
            raise errors.NotEmulatedError("a literal in parentheses, or one with its type, in a $filter")
        if token.kind == "word" and self._entity.column(self._entity.spelled(token.text)):
            raise errors.NotEmulatedError("a comparison of two properties in a $filter")
        if token.kind == "number" and "e" in token.text.lower():
            raise errors.NotEmulatedError("a number with an exponent in a $filter")
        if token.text == "null" and token.kind == "word":
            if not self._dialect.is_21 or operator not in ("eq", "ne"):
                raise errors.NotEmulatedError("null in a $filter (schema version 2.1 has it)")
            return Comparison(column, operator, values.default_of(column))
        if token.kind == "string" and column.kind in (Kind.TEXT, Kind.CODE) and operator == "eq":
            test = _signs(_unquote(token.text).casefold(), al_signs=self._dialect.al_signs)
            if test is not None:
                return Pattern(column, test)
        return Comparison(column, operator, _literal(column, operator, token, self._entity))

    def _among(self, column: Column) -> Node:
        if not self._dialect.is_21:
            raise _not_implemented("The 'in' operator is not supported on an OData filter.")
        self._expect("(")
        node: Node | None = None
        while node is None or self._accept(","):
            token = self._tokens[self._at] if self._at < len(self._tokens) else _Token("mark", "")
            self._at += 1
            term = Comparison(column, "eq", _literal(column, "eq", token, self._entity))
            node = term if node is None else Either(node, term)
        self._expect(")")
        return node

    def _property(self, name: str) -> Column:
        column = self._entity.column(self._entity.spelled(name))
        if column is None:
            raise errors.unknown_property_in_filter(name, self._entity.type_name)
        return column

    def _peek(self) -> str:
        return self._tokens[self._at].text if self._at < len(self._tokens) else ""

    def _kind(self) -> str:
        return self._tokens[self._at].kind if self._at < len(self._tokens) else ""

    def _accept(self, text: str) -> bool:
        if self._peek() == text and self._kind() != "string":
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise errors.bad_request(f"Syntax error: '{text}' expected in the filter, found '{self._peek()}'.")

    def _take(self, kind: str) -> _Token:
        if self._kind() != kind:
            raise errors.bad_request(f"Syntax error: {kind} expected in the filter, found '{self._peek()}'.")
        self._at += 1
        return self._tokens[self._at - 1]


def _not_implemented(message: str) -> errors.ApiError:
    return errors.ApiError(501, "BadRequest_MethodNotImplemented", message)


def _fields(node: Node) -> Iterator[str]:
    if isinstance(node, Both | Either):
        yield from _fields(node.left)
        yield from _fields(node.right)
    else:
        yield node.column.name


def _unquote(text: str) -> str:
    return text[1:-1].replace("''", "'")


def _signs(text: str, *, al_signs: bool) -> Callable[[str], bool] | None:
    """Return what a folded text with filter signs matches, or None when it has none and means itself."""
    if al_signs and "|" in text:
        return _any_of([_signs(one, al_signs=True) or _same(one) for one in text.split("|")])
    if al_signs and "&" in text:
        return _all_of([_signs(one, al_signs=True) or _same(one) for one in text.split("&")])
    if al_signs and ".." in text:
        low, _, high = text.partition("..")
        return lambda value: (not low or value >= low) and (not high or value <= high)
    if al_signs and text.startswith("@"):
        return _signs(text[1:], al_signs=True) or _same(text[1:])
    if "*" in text or "?" in text:
        pattern = re.compile(re.escape(text).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)
        return lambda value: pattern.fullmatch(value) is not None
    return None


def _same(text: str) -> Callable[[str], bool]:
    return lambda value: value == text


def _any_of(tests: list[Callable[[str], bool]]) -> Callable[[str], bool]:
    return lambda value: any(test(value) for test in tests)


def _all_of(tests: list[Callable[[str], bool]]) -> Callable[[str], bool]:
    return lambda value: all(test(value) for test in tests)


def _literal(column: Column, operator: str, token: _Token, entity: Entity) -> Any:
    try:
        return _typed(column, token, entity)
    except (ValueError, InvalidOperation):
        raise errors.bad_request(
            "A binary operator with incompatible types was detected. Found operand types "
            f"'{EDM.get(column.kind, 'Microsoft.NAV.' + column.enum)}' and "
            f"'{_LITERAL_EDM.get(token.kind, token.text)}' for operator kind '{_OPERATOR_KINDS[operator]}'."
        ) from None


def _typed(column: Column, token: _Token, entity: Entity) -> Any:
    wanted = {
        Kind.TEXT: "string", Kind.CODE: "string", Kind.ENUM: "string", Kind.GUID: "guid", Kind.DATE: "date",
        Kind.DATETIME: "time", Kind.DECIMAL: "number", Kind.INT32: "number", Kind.INT64: "number", Kind.BOOLEAN: "word",
    }[column.kind]  # fmt: skip
    if token.kind != wanted:
        raise ValueError(token.kind)
    match column.kind:
        case Kind.TEXT:
            return _unquote(token.text).casefold()
        case Kind.CODE:
            code = to_upper(_unquote(token.text).strip())
            if column.length and len(code) > column.length:
                raise errors.filter_too_long(column.name, entity.table, code, column.length)
            return code
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
