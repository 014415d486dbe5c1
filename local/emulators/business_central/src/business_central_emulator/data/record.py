"""One row of a table: its values and its ETag."""

import base64
import hashlib
from datetime import datetime
from typing import Any

from business_central_emulator.data.schema import Entity


class Record:
    """One row. `row` holds the values in the order of the entity's columns."""

    __slots__ = ("created_at", "entity", "id", "rendered", "row", "version")

    def __init__(self, entity: Entity, row: list[Any], created_at: datetime) -> None:
        self.entity = entity
        self.row = row
        self.id: str = row[entity.position[entity.key]]
        self.version = 1  # counts changes that move the ETag
        self.created_at = created_at
        self.rendered: bytes | None = None  # cached JSON, dropped at each change

    def __getitem__(self, name: str) -> Any:
        return self.row[self.entity.position[name]]

    def values(self) -> dict[str, Any]:
        """Return the values by property name."""
        return dict(zip(self.entity.position, self.row, strict=True))

    def etag(self) -> str:
        """Return the weak ETag in the recorded shape: base64 of `'20;<20 digits>1;00;'`."""
        digest = hashlib.blake2b(f"{self.id}/{self.version}".encode(), digest_size=8).digest()
        number = str(int.from_bytes(digest) % 10**20)
        return f'W/"{base64.b64encode(f"'{len(number)};{number}1;00;'".encode()).decode()}"'
