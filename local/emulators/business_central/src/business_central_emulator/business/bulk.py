"""Large loads straight into the tables: 100,000 items with variants in a few seconds, without triggers.

Rows share what they have in common; ids and times differ. No history is written and no webhook is told, as after a
restore; use `User` where notifications matter.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from business_central_emulator.data.clock import to_ms
from business_central_emulator.data.environment import Company, Ids
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import ENTITIES, ZERO_GUID
from business_central_emulator.data.store import new_row


def load_items(
    company: Company,
    ids: Ids,
    count: int,
    *,
    variants_per_item: int = 0,
    prefix: str = "BULK",
    changed_at: datetime,
    step: timedelta = timedelta(milliseconds=10),
) -> list[Record]:
    """Add items `<prefix>-0000000` and on, each with variants; the last change of item n is `changed_at + n * step`."""
    unit = company.tables["unitsOfMeasure"].find("code", "PCS")
    common = {
        "displayName2": "",
        "unitPrice": Decimal("19.9"),
        "unitCost": Decimal("7.45"),
        "inventory": Decimal(120),
        "baseUnitOfMeasureId": unit.id if unit else ZERO_GUID,
        "baseUnitOfMeasureCode": "PCS",
        "generalProductPostingGroupCode": "RETAIL",
        "inventoryPostingGroupCode": "RESALE",
    }
    start = len(company.tables["items"])
    items = list(_items(ids, count, prefix, start, common, changed_at, step))
    company.tables["items"].load(items)
    if variants_per_item:
        company.tables["itemVariants"].load(list(_variants(ids, items, variants_per_item)))
    return items


def _items(
    ids: Ids, count: int, prefix: str, start: int, common: dict[str, Any], changed_at: datetime, step: timedelta
) -> Iterator[Record]:
    entity = ENTITIES["items"]
    template = new_row(entity, common)
    at = entity.position
    places = (at["id"], at["number"], at["displayName"], at["lastModifiedDateTime"])
    for n in range(start, start + count):
        row = template.copy()
        row[places[0]] = ids.guid()
        row[places[1]] = f"{prefix}-{n:07d}"
        row[places[2]] = f"Bulk item {n}"
        row[places[3]] = to_ms(changed_at + (n - start) * step)
        yield Record(entity, row, changed_at)


def _variants(ids: Ids, items: Sequence[Record], per_item: int) -> Iterator[Record]:
    entity = ENTITIES["itemVariants"]
    codes = [f"V{n:03d}" for n in range(per_item)]
    for item in items:
        number, changed_at = item["number"], item["lastModifiedDateTime"]
        for code in codes:
            row = [ids.guid(), item.id, number, code, f"Variant {code}", changed_at]
            yield Record(entity, row, item.created_at)
