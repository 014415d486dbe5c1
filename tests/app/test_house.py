"""The size of one decision: no function of `shared/` has a McCabe complexity above twelve, counted as `radon cc` does.

Ruff's C901 counts no boolean operators and no comprehensions, so it passes functions that are harder to read.
"""

from pathlib import Path
from typing import Final

from radon.complexity import cc_visit
from radon.visitors import Class

SHARED: Final = Path(__file__).resolve().parents[2] / "shared"
#: 1 and the branches, loops, handlers, comprehensions and boolean operators of a function.
MOST: Final = 12


def complexities(source: str) -> dict[str, int]:
    """Return the complexity of every function and method, by its full name."""
    return {block.fullname: block.complexity for block in cc_visit(source) if not isinstance(block, Class)}


def test_no_function_decides_too_much() -> None:
    found = {
        f"{path.relative_to(SHARED)} {name}": number
        for path in sorted(SHARED.rglob("*.py"))
        for name, number in complexities(path.read_text(encoding="utf-8")).items()
    }
    assert len(found) > 500  # the whole of it was read
    assert {name: number for name, number in found.items() if number > MOST} == {}


def test_boolean_operators_and_comprehensions_count() -> None:
    source = """
class Shop:
    def sell(self, items):
        if items and self:
            return [item for item in items if item]
        for item in items:
            if item:
                return item
"""
    assert complexities(source) == {"Shop.sell": 7}
