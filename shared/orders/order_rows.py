"""One order as rows of the order store: its own row, its index row, its claim. `order_store` keeps them.

Pure. Owns names and forms of what is stored, and reads what 0.1.0 wrote.
"""

import json
from datetime import UTC, datetime
from typing import Any, Final

from shared.business_central.code_text import code_of
from shared.errors import InvalidMessage
from shared.message_text import decode
from shared.orders.order_cause import cause_of
from shared.orders.order_entry import Numbering, OrderEntry, OrderStatus, Sender
from shared.orders.order_message import sent_key_of
from shared.storage.keys import row_key
from shared.storage.table import Row, Value

#: Characters of a text property; a longer text goes on in `<name>_1`, `<name>_2`, ...
_PIECE: Final = 30_000
#: What a row holds at most is 1 MiB; longer lists of numbers or senders are refused before.
LONGEST: Final = 8 * _PIECE

_TEXTS: Final = (
    "key", "company", "status", "digest", "content", "own_key", "external_number", "numbering", "likeness", "worker",
    "order_id", "number", "error_code", "error", "correlation_id", "reported_to", "index", "hold",
)  # fmt: skip
_TIMES: Final = ("first_at", "posted_at", "next_try_at", "lease_until", "refused_at")
_STATUSES: Final[dict[str, OrderStatus]] = {
    "posting": "posting", "waiting": "waiting", "created": "created", "rejected": "rejected", "parked": "parked",
}  # fmt: skip
STOPPED: Final = frozenset({"rejected", "parked"})
_NUMBERINGS: Final[dict[str, Numbering]] = {"generated": "generated", "given": "given", "shared": "shared"}


def order_row(partition: str, entry: OrderEntry) -> Row:
    """Return the row of an order."""
    values: dict[str, Value] = {name: getattr(entry, name) for name in _TEXTS}
    values |= {name: moment for name in _TIMES if (moment := getattr(entry, name)) is not None}
    values |= {"message": entry.message} if entry.message else {}
    values |= {"is_erased": True} if entry.is_erased else {}
    values |= {"attempts": entry.attempts, "waits": entry.waits, "unknown": entry.unknown}
    values |= _pieces("before", entry.before) | _pieces("senders", _written(entry.senders))
    return Row(partition=partition, key=entry.place, values=values, etag=entry.etag)


def index_row(partition: str, entry: OrderEntry) -> Row:
    """Return the row by which an order that waits or has stopped is found."""
    values: dict[str, Value] = {"order": entry.key, "company": entry.company, "status": entry.status}
    values |= {"cause": cause_of(entry)} if entry.is_over else {}
    return Row(partition=partition, key=entry.index, values=values)


def claim_row(partition: str, entry: OrderEntry) -> Row:
    """Return the row by which the document of a created order is its own."""
    values: dict[str, Value] = {"order": entry.key, "company": entry.company, "order_id": entry.order_id}
    return Row(partition=partition, key=row_key("claim", entry.company, entry.number), values=values)


def is_too_long(entry: OrderEntry) -> bool:
    """Return whether a row can't hold the numbers and senders of an entry."""
    return max(len(entry.before), len(_written(entry.senders))) > LONGEST


def spellings(key: str) -> list[str]:
    """Return the keys under which an order may be filed: as keys compare, and as 0.1.0 wrote it."""
    return list(dict.fromkeys((key, key.upper())))


def is_of(row: Row, key: str) -> bool:
    """Return whether a row is of this sender's key; rows of 0.1.0 may stand where another key has its place."""
    if row.text("own_key"):
        return row.text("own_key") == key
    if row.text("content") or not row.data("message"):
        return row.text("key") == key
    try:
        text = decode(row.data("message"))
    except InvalidMessage:
        return row.text("key") == key
    return code_of(sent_key_of(text, row.text("key"))) == key


def index_key(entry: OrderEntry) -> str:
    """Return the key of its index row, "" when it has none."""
    if entry.status == "waiting" and entry.next_try_at is not None:
        return row_key("due", stamp(entry.next_try_at), entry.key, entry.company)
    if entry.status in STOPPED:
        return row_key("stop", entry.key, entry.company)
    return ""


def stamp(moment: datetime) -> str:
    """Return a time as keys have it, in UTC and to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _written(senders: tuple[Sender, ...]) -> str:
    return json.dumps([[one.message_id, one.sent_key] for one in senders]) if senders else ""


def _pieces(name: str, text: str) -> dict[str, Value]:
    cuts = range(0, max(len(text), 1), _PIECE)
    return {name + (f"_{part}" if part else ""): text[at : at + _PIECE] for part, at in enumerate(cuts)}


def _whole(row: Row, name: str) -> str:
    pieces = [row.text(name)]
    while piece := row.text(f"{name}_{len(pieces)}"):
        pieces.append(piece)
    return "".join(pieces)


def entry_of(row: Row) -> OrderEntry:
    """Return what a row of an order holds."""
    texts: dict[str, Any] = {name: row.text(name) for name in _TEXTS if name not in {"status", "numbering"}}
    times: dict[str, Any] = {name: row.time(name) for name in _TIMES}
    senders = _whole(row, "senders")
    return OrderEntry(
        status=_STATUSES.get(row.text("status"), "parked"),
        numbering=_NUMBERINGS.get(row.text("numbering"), "given"),
        message=row.data("message"),
        is_erased=bool(row.number("is_erased")),
        before=_whole(row, "before"),
        senders=tuple(Sender(*one) for one in json.loads(senders)) if senders else (),
        attempts=row.number("attempts"),
        waits=row.number("waits"),
        unknown=bool(row.number("unknown")),
        place=row.key,
        etag=row.etag,
        **texts,
        **times,
    )
