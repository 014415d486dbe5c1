"""A change that is put into a module reaches those who hold its functions, classes and values already."""

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.mutation.changing import install

SOURCE = """from dataclasses import dataclass

LEAST = 3
TWICE = 2 * LEAST

def is_enough(number):
    return number >= LEAST

@dataclass(frozen=True)
class Policy:
    tries: int = 2

    def ends(self, tried):
        return tried >= self.tries

ONCE = Policy()
"""


@pytest.fixture
def module() -> Iterator[ModuleType]:
    """A module that was read."""
    made = ModuleType("shared_rules")
    made.__file__ = "shared_rules.py"
    exec(SOURCE, vars(made))
    sys.modules["shared_rules"] = made
    yield made
    del sys.modules["shared_rules"]


def put(module: ModuleType, was: str, became: str) -> None:
    """Change one line."""
    assert SOURCE.count(was) == 1
    install(module, SOURCE.replace(was, became), SOURCE[: SOURCE.index(was)].count("\n") + 1)


def test_a_function_that_others_hold_changes(module: ModuleType) -> None:
    held = module.is_enough
    put(module, "number >= LEAST", "number > LEAST")
    assert (held(3), held is module.is_enough) == (False, True)


def test_a_method_changes_for_objects_that_are_there(module: ModuleType) -> None:
    held = module.ONCE
    put(module, "tried >= self.tries", "tried > self.tries")
    assert not held.ends(2)
    assert isinstance(held, module.Policy)


def test_a_value_changes_with_what_is_worked_out_of_it(module: ModuleType) -> None:
    put(module, "LEAST = 3", "LEAST = 4")
    assert (module.is_enough(3), module.TWICE) == (False, 8)


def test_a_default_of_a_class_changes_in_the_objects_of_the_module(module: ModuleType) -> None:
    put(module, "tries: int = 2", "tries: int = 3")
    assert module.ONCE.tries == 3


def test_nothing_changes_without_a_statement(module: ModuleType) -> None:
    before = dict(vars(module))
    install(module, SOURCE, 0)
    assert dict(vars(module)) == before
