"""The mutants of a module: its source with one operator, number, condition or word changed, as cosmic-ray changes it.

Chosen are the operators that make another behaviour and not only another spelling: the boundary and the opposite of a
comparison, the opposite of an arithmetic operator, a condition negated, `and` for `or`, a number one more and one less,
True for False, break for continue, a loop over nothing, another exception. Annotations, type aliases and decorators are
left alone, as is the mark of keyword-only arguments.
"""

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

_COMPARISONS: Final = (
    "Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt",
    "Is_IsNot", "IsNot_Is",
)  # fmt: skip
_BINARY: Final = ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul", "BitOr_BitAnd",
                  "BitAnd_BitOr", "BitXor_BitAnd", "LShift_RShift", "RShift_LShift")  # fmt: skip
OPERATORS: Final = (
    *(f"ReplaceComparisonOperator_{name}" for name in _COMPARISONS),
    *(f"ReplaceBinaryOperator_{name}" for name in _BINARY),
    "ReplaceUnaryOperator_USub_UAdd", "ReplaceUnaryOperator_Delete_Not", "AddNot", "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak", "ExceptionReplacer", "NumberReplacer", "ZeroIterationForLoop",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """One changed source. `was` and `became` are the lines that differ, without indentation, by which it is known."""

    operator: str
    line: int
    was: str
    became: str
    source: str


def mutants_of(source: str) -> Iterator[Mutant]:
    """Yield every mutant whose behaviour may differ, each once.

    They are made of one statement of the module after the other: reading all of it for each takes most of the time.
    """
    lines = source.splitlines(keepends=True)
    for statement in ast.parse(source).body:
        decorators = getattr(statement, "decorator_list", [])
        low, high = min(one.lineno for one in (statement, *decorators)) - 1, statement.end_lineno or 0
        part = "".join(lines[low:high])
        for name, mutated in _mutated(part):
            line, was, became = _difference(part, mutated)
            whole = "".join(lines[:low]) + mutated + "".join(lines[high:])
            yield Mutant(name, low + line, was, became, whole)


def _mutated(part: str) -> Iterator[tuple[str, str]]:
    seen = {_meaning(part)}
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        for occurrence in count():
            try:
                mutated = mutate_code(part, operator, occurrence)
            except AttributeError:
                continue  # cosmic-ray has no other exception for one that is named with a dot
            if mutated is None:
                break
            meaning = _meaning(mutated)
            if meaning not in seen:
                seen.add(meaning)
                yield name, mutated


def _difference(part: str, mutated: str) -> tuple[int, str, str]:
    before, after = part.splitlines(), mutated.splitlines()
    (changed,) = (one for one in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
                  if one[0] != "equal")  # fmt: skip
    _, low, high, new_low, new_high = changed
    was, became = (" ".join(line.strip() for line in lines) for lines in (before[low:high], after[new_low:new_high]))
    return low + 1, was, became


class _Bare(ast.NodeTransformer):
    """Leaves out what no call reaches: annotations, type aliases."""

    def visit_TypeAlias(self, node: ast.TypeAlias) -> ast.Pass:
        del node
        return ast.Pass()

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(node.arg)

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        node.args, node.posonlyargs, node.kwonlyargs = [*node.posonlyargs, *node.args, *node.kwonlyargs], [], []
        node.defaults, node.kw_defaults = [*node.defaults, *(one for one in node.kw_defaults if one)], []
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns, node.decorator_list = None, []
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.decorator_list = []
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def _meaning(source: str) -> str:
    try:
        return ast.dump(_Bare().visit(ast.parse(source)))
    except SyntaxError:
        return ""
