"""A small custom API as a partner might publish it, for demos and tests: `contoso/shop/v1.0`.

Stock levels with their bins bear a time of change; price tags bear none, and their key is called `systemId`.
"""

from typing import Any, Final

from business_central_emulator.data.schema import Entity, custom_entity

ROUTE: Final = "contoso/shop/v1.0"
DEFINITIONS: Final[tuple[Entity, ...]] = (
    custom_entity(
        "stockLevels", "stockLevel", "id G r, itemNumber C20, locationCode C10, quantity D, lastModifiedDateTime T r",
        order=("itemNumber", "locationCode"), navs="bins bins* id=stockLevelId",
    ),
    custom_entity(
        "bins", "bin", "id G r, stockLevelId G, code C20, quantity D, lastModifiedDateTime T r", order=("code",),
        navs="stockLevel stockLevels stockLevelId=id",
    ),
    custom_entity("priceTags", "priceTag", "systemId G r, code C20, price D", order=("code",), key="systemId"),
)  # fmt: skip

#: Set -> rows of the first company; a bin names its stock level by item number, and gets its id.
STOCK: Final[tuple[tuple[str, int, tuple[str, ...]], ...]] = (
    ("1896-S", 12, ("A-01", "A-02")), ("1900-S", 4, ("B-01",)), ("1906-S", 0, ()),
)  # fmt: skip
TAGS: Final[tuple[dict[str, Any], ...]] = (
    {"code": "TAG-1896", "price": 1000.8}, {"code": "TAG-1900", "price": 192.8},
)  # fmt: skip
