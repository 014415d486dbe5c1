"""The figures of a campaign find their places in docs/promises.md, and nothing else is touched."""

import pytest

from tests.simulation.__main__ import PAPER
from tests.simulation.campaign import Total
from tests.simulation.paper import CELLS, with_block, with_cells


def test_every_figure_has_its_row_and_nothing_else_is_touched() -> None:
    before = PAPER.read_text(encoding="utf-8").splitlines()
    figures = {**Total().figures(), "results": "7 of a kind"}
    after = with_cells("\n".join(before), figures).splitlines()
    assert len(after) == len(before)
    changed = {new.split("|")[1].strip() for old, new in zip(before, after, strict=True) if old != new}
    assert changed == set(CELLS)
    assert any(line.startswith("| P9 |") and "7 of a kind" in line for line in after)


def test_a_block_is_replaced_and_can_be_again() -> None:
    text = "a\n<!-- x -->\nold\n<!-- end of x -->\nb"
    once = with_block(text, "x", "new\nlines\n")
    assert once == "a\n<!-- x -->\nnew\nlines\n<!-- end of x -->\nb"
    assert with_block(once, "x", "new\nlines") == once
    with pytest.raises(ValueError, match="no block y"):
        with_block(text, "y", "")


@pytest.mark.parametrize("name", ["simulation", "defects", "mutation score"])
def test_the_paper_has_the_blocks(name: str) -> None:
    with_block(PAPER.read_text(encoding="utf-8"), name, "x")
