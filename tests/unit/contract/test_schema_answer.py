"""`GET /api/schema`: one document, or one schema by name; a wrong name gets the nearest right one."""

import pytest

from shared.contract.async_api import document
from shared.contract.built_in import BUILT_IN
from shared.contract.schema_answer import answer
from shared.errors import InvalidMessage

APP = "https://app.example"


def test_each_name_is_answered_with_the_schema_that_bears_its_address() -> None:
    """Events, their data, and the two queues of orders; nothing asked for is the AsyncAPI document."""
    for parameter, name in (("type", "bc.item.created.v1"), ("data", "bc.batch.v1"), ("type", "sales-orders")):
        assert answer(BUILT_IN, APP, {parameter: name})["$id"] == f"{APP}/api/schema?{parameter}={name}"
    assert answer(BUILT_IN, APP, {}) == document(BUILT_IN)
    data = answer(BUILT_IN, APP, {"data": "bc.item.created.v1"})
    event = answer(BUILT_IN, APP, {"type": "bc.item.created.v1"})
    assert event["properties"]["data"] == {name: data[name] for name in ("title", "type", "properties", "required")}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"type": "bc.items.created.v1"}, "type: no schema is published as `bc.items.created.v1`; did you mean"),
        ({"data": "sales-order"}, "data: no schema is published as `sales-order`; there are bc.item.pulled.v1, "),
        ({"type": "x" * 500}, f"type: no schema is published as `{'x' * 60}`; there are "),
    ],
)
def test_a_name_that_nothing_is_published_under_is_refused(asked: dict[str, str], said: str) -> None:
    """With the nearest, or all that there are."""
    with pytest.raises(InvalidMessage) as refused:
        answer(BUILT_IN, APP, asked)
    assert said in str(refused.value)
