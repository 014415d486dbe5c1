"""Whether a document in BC can be what an order made of it: the customer, the date, the lines and their quantities.

Owns what counts as alike, for a document that a look-up found and for two orders that could be mistaken for each other.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from hashlib import sha256
from typing import Any, Final, Literal

from shared.business_central.code_text import code_of
from shared.business_central.port import DocumentLine, PostedOrder
from shared.orders.order_fields import EXTERNAL, LINES, text_of

#: `same`: exactly its lines. `rounded`: its lines, of quantities that BC rounds to a unit's precision. `unclear`: this
#: order as somebody changed it, or another one. `uncommitted`: no replica shows it yet, so it may be rolled back, and
#: its lines say nothing.
type Likeness = Literal["same", "rounded", "unclear", "uncommitted"]
#: Stands for whatever an order holds, in a mark.
_ANY: Final = "any"

#: BC rounds a quantity to five decimals (AL: table "Sales Line", field Quantity, DecimalPlaces 0:5), half away from
#: zero (AL: Round), and before that to the precision of its unit (Qty. Rounding Precision), which no API shows.
_STEP: Final = Decimal("0.00001")
_PRECISIONS: Final = tuple(map(Decimal, ("1", "0.5", "0.25", "0.2", "0.1", "0.05", "0.01", "0.001", "0.0001")))


@dataclass(frozen=True, slots=True)
class _Line:
    item_id: str
    number: str
    quantity: Decimal

    def names(self, found: DocumentLine) -> bool:
        """Return whether a line of a document may be of the item or account that was sent; a shipment knows no ids."""
        if self.number:
            return not found.number or self.number == code_of(found.number)
        return not found.ids or self.item_id in found.ids


def likeness(order: Mapping[str, Any], document: PostedOrder, lines: Iterable[DocumentLine] | None) -> Likeness:
    """Return how a document that bears the order's number compares with it; None: not committed.

    Content counts only where the sender gave the number, which others may use; else the key alone stands for it, and
    whatever people changed in the document meanwhile, it is the order. What is left of an order once posted, shipments
    and invoices, may be a part of it and knows no order date.
    """
    if lines is None:
        return "uncommitted"
    if not text_of(order, EXTERNAL):
        return "same"
    date = text_of(order, "orderDate")
    if date and document.order_date and date != document.order_date:
        return "unclear"
    sent, found = list(_sent_lines(order)), [line for line in lines if line.quantity]
    if _is_all(sent, found, _is_stored):
        return "same"
    return "rounded" if _is_all(sent, found, _is_rounded) else "unclear"


def _is_all(sent: list[_Line], found: list[DocumentLine], fits: Callable[[Decimal, Decimal], bool]) -> bool:
    """Return whether the lines of a document are exactly the order's; `fits` compares quantities, sent and found."""
    rest = list(found)
    for one in sent:
        match = next((line for line in rest if one.names(line) and fits(one.quantity, line.quantity)), None)
        if match is None:
            return False
        rest.remove(match)
    return not rest


def _is_stored(sent: Decimal, found: Decimal) -> bool:
    return _round(sent) == _round(found)


def _is_rounded(sent: Decimal, found: Decimal) -> bool:
    return _is_stored(sent, found) or any(_round(sent, precision) == found for precision in _PRECISIONS)


def mark(company: str, external_number: str, order: Mapping[str, Any]) -> str:
    """Return what a look-up compares of an order: digests of its number, its quantities and its customer.

    Items may be named by id or by number, so only the quantities of the lines count.
    """
    quantities = sorted(str(_round(line.quantity).normalize() + 0) for line in _sent_lines(order))
    number = code_of(text_of(order, "customerNumber"))
    customer = f"n{_hash(number)}" if number else f"i{_hash(text_of(order, 'customerId').lower())}"
    content = _hash(*quantities) if text_of(order, EXTERNAL) else _ANY
    return "|".join((_hash(company, external_number), content, customer))


def are_alike(one: str, other: str) -> bool:
    """Return whether two orders of these marks could be mistaken for each other.

    A customer named by number and one named by id may be the same.
    """
    (number, content, customer), (number_2, content_2, customer_2) = one.split("|"), other.split("|")
    same_content = content == content_2 or _ANY in {content, content_2}
    return number == number_2 and same_content and (customer == customer_2 or customer[0] != customer_2[0])


def _hash(*parts: str) -> str:
    return sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _sent_lines(order: Mapping[str, Any]) -> Iterable[_Line]:
    for line in order.get(LINES) or ():
        quantity = line.get("quantity")
        if isinstance(quantity, int | Decimal) and quantity:
            item = (text_of(line, "itemId") or text_of(line, "accountId")).lower()
            yield _Line(item, code_of(text_of(line, "lineObjectNumber")), Decimal(quantity))


def _round(quantity: Decimal, precision: Decimal = _STEP) -> Decimal:
    """Return the nearest multiple of a precision; of two the one away from zero, as AL does."""
    return (quantity / precision).quantize(Decimal(1), ROUND_HALF_UP) * precision
