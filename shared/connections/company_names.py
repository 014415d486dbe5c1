"""The companies as Business Central listed them last, in a row of table BcConnections.

So that people read names and not GUIDs while Business Central is down and the process that knew them is gone. Nothing
is decided by it.
"""

import json
from typing import Final

from shared.business_central.port import Company
from shared.errors import StoreUnavailable
from shared.storage.table import Row, Table

_KEY: Final = "companies"
_MOST_CHARS: Final = 30_000  # a text property holds 32 Ki UTF-16 units


class CompanyNames:
    """The list of one connection. Nothing here ever raises: it is for show."""

    def __init__(self, table: Table, connection: str) -> None:
        """Take the table and the connection whose companies it keeps."""
        self._table = table
        self._connection = connection

    def save(self, companies: list[Company]) -> None:
        """Keep a list; of more than some hundred companies the first."""
        listed = [[company.key, company.name, company.display_name] for company in companies]
        while len(text := json.dumps(listed)) > _MOST_CHARS:
            listed = listed[: len(listed) * 3 // 4]
        try:
            held = self._table.get(self._connection, _KEY)
            if held is None or held.text("companies") != text:
                self._table.upsert(Row(partition=self._connection, key=_KEY, values={"companies": text}))
        except StoreUnavailable:
            return  # the next process that lists them keeps them

    def load(self) -> list[Company]:
        """Return the list as it was kept, empty when there is none."""
        try:
            row = self._table.get(self._connection, _KEY)
            listed = json.loads(row.text("companies")) if row is not None else []
            return [Company(key=key, name=name, display_name=display) for key, name, display in listed]
        except (StoreUnavailable, ValueError, TypeError):
            return []
