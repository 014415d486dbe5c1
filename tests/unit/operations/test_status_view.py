"""What a trigger does, in a sentence from the entity's own row."""

from dataclasses import replace

import pytest

from shared.business_central.entities import ITEMS, SALES_INVOICES, Entity
from shared.operations.status_view import describe_trigger


@pytest.mark.parametrize(
    ("entity", "expanded", "changes", "does"),
    [
        (ITEMS, True, {"created"}, "Announces a new item with its variants."),
        (ITEMS, False, {"created"}, "Announces a new item."),
        (
            SALES_INVOICES,
            True,
            {"created", "updated", "deleted"},
            (
                "Announces a new sales invoice with its lines, and once more when it is posted; also announces when "
                "one is updated or deleted."
            ),
        ),
        (replace(ITEMS, name="customers", announces=""), False, {"created"}, "Announces a new record of customers."),
    ],
)
def test_a_trigger_says_what_it_does(entity: Entity, expanded: bool, changes: set[str], does: str) -> None:
    """One sentence, with the option and the changes that are switched on; a row without one still has a sentence."""
    row = replace(entity if expanded else entity.plain(), changes=frozenset(changes))
    assert describe_trigger(row).does == does
