"""Which tests carry out which lines of a module, and how long they take: a mutant is shown to those that may notice."""

import ast
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any, Final

import pytest

_TOOL: Final = sys.monitoring.COVERAGE_ID


@dataclass(frozen=True, slots=True)
class Reach:
    """The lines of the module that a test carried out, and the seconds of processor time it took."""

    lines: frozenset[int]
    took_s: float


class Watch:
    """A plugin that notes the reach of every test that runs, by node id."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lines: set[int] = set()
        self.reaches: dict[str, Reach] = {}
        sys.monitoring.use_tool_id(_TOOL, "mutants")
        events = sys.monitoring.events
        sys.monitoring.register_callback(_TOOL, events.LINE, self._line)
        sys.monitoring.register_callback(_TOOL, events.PY_START, lambda code, _: self._line(code, code.co_firstlineno))
        sys.monitoring.set_events(_TOOL, events.LINE | events.PY_START)  # a lambda of one line begins and has no line

    def _line(self, code: CodeType, line: int) -> Any:
        if code.co_filename == self._path:
            self._lines.add(line)
        return sys.monitoring.DISABLE

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Note what one test does."""
        self._lines.clear()
        sys.monitoring.restart_events()
        began = time.process_time()
        done = yield
        self.reaches[item.nodeid] = Reach(frozenset(self._lines), time.process_time() - began)
        return done


def who_may_notice(source: str, line: int, reaches: Mapping[str, Reach]) -> list[str]:
    """Return the tests that carry out the statement at a line, quickest first; all where an import carries it out."""
    statement = _statement(ast.parse(source), line)
    tests = list(reaches)
    if statement is not None:
        tests = [test for test in tests if reaches[test].lines & set(statement)]
    return sorted(tests, key=lambda test: reaches[test].took_s)


def _statement(tree: ast.AST, line: int) -> range | None:
    """Lines of the innermost statement at a line inside a function, of a function for its head; None outside of all."""
    found: range | None = None
    inside = False
    node: ast.AST | None = tree
    while node is not None:
        if isinstance(node, ast.stmt) and (inside or isinstance(node, ast.FunctionDef)):
            found = range(node.lineno, (node.end_lineno or 0) + 1)
        inside = inside or isinstance(node, ast.FunctionDef)
        node = next((one for one in _statements(node) if one.lineno <= line <= (one.end_lineno or 0)), None)
    return found


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """The statements that stand directly in a node, those of `except` and `case` included."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        elif isinstance(child, ast.excepthandler | ast.match_case):
            yield from _statements(child)
