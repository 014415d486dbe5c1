"""The order book as JSON lines in blobs: written once a day, read back after the table was lost (P31).

Container `bc-data`, folder `order-book/<connection>/`. A part holds some hundred rows, one JSON object each, is named
by its content and never changed; its first line names the part before it. `<day>.json` names the last part of a whole
book. `due` rows are left out, as they follow from their orders.

Owns the form of the lines and what an import makes of them; knows no queue and no Business Central.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Protocol

from shared.errors import InvalidMessage
from shared.storage.keys import row_key
from shared.storage.table import Row, Value

FOLDER: Final = "order-book"
#: How far back books are looked for: longer than a blob of the container lives by default.
_LOOK_BACK: Final = 40
#: Follows from its order.
_LEFT_OUT: Final = "due"
ORDER: Final = "order"
#: Name of a part: half of the digest of its content.
_PART: Final = re.compile(r"[0-9a-f]{32}\.jsonl")


class Blobs(Protocol):
    """Where the book goes. Raises StoreUnavailable when storage does not answer."""

    def put(self, name: str, data: bytes) -> str:
        """Store a blob in one step, whatever is there, and return its absolute URL."""
        ...

    def get(self, name: str) -> bytes | None:
        """Return a blob, None when there is none of that name."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """One whole book."""

    day: date  # UTC, on which its writing began
    began_at: datetime  # what was stored later may be missing in it
    last: str  # name of its last part
    orders: int


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one part, and the name of the part before it ("": it is the first)."""

    before: str
    rows: tuple[Row, ...]


class OrderBook:
    """The books of one connection."""

    def __init__(self, blobs: Blobs, connection: str) -> None:
        """Take the blobs and the connection whose orders it keeps."""
        self._blobs = blobs
        self._partition = row_key(connection)
        self._folder = f"{FOLDER}/{self._partition}"

    def write_part(self, rows: list[Row], before: str) -> str:
        """Write some rows and return the name of their part; without any, that of the part before."""
        lines = [_line(row) for row in rows if kind_of(row) != _LEFT_OUT]
        if not lines:
            return before
        data = "\n".join([json.dumps({"kind": "part", "before": before}), *lines, ""]).encode()
        name = f"{self._folder}/{sha256(data).hexdigest()[:32]}.jsonl"
        self._blobs.put(name, data)
        return name

    def publish(self, edition: Edition) -> None:
        """Note that a book is whole; that of a day stays the first one, as the table may have been lost since."""
        if self._blobs.get(self._name(edition.day)) is not None:
            return
        text = json.dumps({"began": edition.began_at.isoformat(), "last": edition.last, "orders": edition.orders})
        self._blobs.put(self._name(edition.day), text.encode())

    def editions(self, today: date) -> Iterator[Edition]:
        """Yield the whole books of the last forty days, the newest first.

        Raises:
            InvalidMessage: as `of_day`.
        """
        days = (today - timedelta(days=back) for back in range(_LOOK_BACK))
        return (found for day in days if (found := self.of_day(day)) is not None)

    def of_day(self, day: date) -> Edition | None:
        """Return the book of a day.

        Raises:
            InvalidMessage: the blob is none of ours.
        """
        name = self._name(day)
        data = self._blobs.get(name)
        if data is None:
            return None
        try:
            said = json.loads(data)
            began = datetime.fromisoformat(said["began"]).astimezone(UTC)
            return Edition(day=day, began_at=began, last=str(said["last"]), orders=int(said["orders"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidMessage([f"{name}: is no order book"]) from error

    def part(self, name: str) -> Part:
        """Return one part.

        Raises:
            InvalidMessage: there is no such part, or it is none of ours.
        """
        folder, _, part = name.rpartition("/")
        is_part = folder == self._folder and _PART.fullmatch(part) is not None
        data = self._blobs.get(name) if is_part else None
        if data is None:
            raise InvalidMessage([f"{name[:200]}: is no part of an order book of this connection"])
        try:
            head, *lines = data.decode().splitlines()
            return Part(str(json.loads(head)["before"]), tuple(self._rows(lines)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidMessage([f"{name}: is damaged"]) from error

    def _rows(self, lines: list[str]) -> Iterator[Row]:
        for line in lines:
            said = json.loads(line)
            values = {str(name): _read(value) for name, value in said["values"].items()}
            yield Row(partition=self._partition, key=str(said["key"]), values=values)

    def _name(self, day: date) -> str:
        return f"{self._folder}/{day.isoformat()}.json"


def kind_of(row: Row) -> str:
    """Return the kind of a row: `order`, `claim`, `hold`, `stop`, or `due`."""
    return row.key.partition("|")[0]


def _line(row: Row) -> str:
    values = {name: _written(value) for name, value in row.values.items()}
    return json.dumps({"kind": kind_of(row), "key": row.key, "values": values})


def _written(value: Value) -> Any:
    if isinstance(value, datetime):
        return {"time": value.isoformat()}
    return {"bytes": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _read(value: Any) -> Value:
    if isinstance(value, Mapping):
        is_time = "time" in value
        return datetime.fromisoformat(value["time"]) if is_time else base64.b64decode(value["bytes"], validate=True)
    if isinstance(value, str | int | float | bool):
        return value
    raise ValueError(f"{type(value).__name__} is no value of a row")
