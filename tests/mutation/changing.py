"""Puts one changed statement into a module that was read before, so that all who hold its functions meet the change."""

import ast
import sys
from types import FunctionType, ModuleType
from typing import Any


def install(module: ModuleType, source: str, line: int) -> None:
    """Carry out the statement of a changed source at a line in a module that was read before; 0: none.

    Functions and methods that others hold already get the new code in place; a value that others hold under the same
    name is exchanged there, too; so are values of the module that are worked out of it.
    """
    body = ast.parse(source).body
    place = next((place for place, one in enumerate(body) if one.lineno <= line <= (one.end_lineno or 0)), len(body))
    for number, statement in enumerate(body[place:]):
        if number and not isinstance(statement, ast.Assign | ast.AnnAssign):
            continue  # only what is worked out of the changed statement is worked out anew
        before = dict(vars(module))
        exec(compile(ast.Module([statement], []), str(module.__file__), "exec"), vars(module))
        _put_back(module, before)


def _put_back(module: ModuleType, before: dict[str, Any]) -> None:
    for name, new in list(vars(module).items()):
        old = before.get(name)
        if new is old or name.startswith("__"):
            continue
        if isinstance(old, FunctionType) and isinstance(new, FunctionType):
            _put_code(old, new)
            setattr(module, name, old)
        elif isinstance(old, type) and isinstance(new, type):
            _put_members(old, new)
            setattr(module, name, old)
        elif new == old:
            setattr(module, name, old)
        else:
            _exchange(name, old, new)


def _put_code(old: FunctionType, new: FunctionType) -> None:
    old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__


def _put_members(old: type, new: type) -> None:
    for name, member in vars(new).items():
        held = vars(old).get(name)
        if isinstance(held, FunctionType) and isinstance(member, FunctionType) and not member.__closure__:
            _put_code(held, member)
        elif isinstance(member, FunctionType | property | classmethod | staticmethod):
            setattr(old, name, member)


def _exchange(name: str, old: Any, new: Any) -> None:
    for module in list(sys.modules.values()):
        if vars(module).get(name, new) is old and module.__name__.startswith(("shared", "tests", "test_")):
            setattr(module, name, new)
