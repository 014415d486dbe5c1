"""The order store: one row per order key and company, which says how far its posting is.

Beside it, in the same partition and the same transaction:
- an index row for what a timer or an operator looks for: `due|<time>|...` for an order that waits, `stop|...` for one
  that was rejected or parked, with its cause, and with a mark once a person has dismissed it;
- `claim|<company>|<number>`, once an order is created: this BC document belongs to this key and to no other (P17);
- `hold|<mark>`, while an order is being posted or in doubt: no order that could be mistaken for it is posted.

Rows stand where 0.1.0 looks for them: under the key in upper case, a readable head and a digest where it is long. What
0.1.0 filed under Python's upper case (`STRASSE` for `straße`) is found by the key in its message.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Final

from shared.business_central.code_text import code_of
from shared.business_central.port import PostedOrder
from shared.errors import StateConflict
from shared.orders.likeness import are_alike
from shared.orders.order_cause import cause_of
from shared.orders.order_contents import without_contents
from shared.orders.order_entry import OrderEntry, OrderStatus
from shared.orders.order_rows import (
    STOPPED,
    claim_row,
    entry_of,
    index_key,
    index_row,
    is_of,
    order_row,
    spellings,
    stamp,
)
from shared.orders.upkeep_notes import UpkeepNotes
from shared.resource_names import DEFAULT_CONNECTION
from shared.storage.keys import after, row_key, split_key
from shared.storage.table import Change, Delete, Insert, Replace, Row, Table, Upsert, Value

#: How long one worker may hold an order; longer than the slowest look-up and post (two minutes each).
LEASE_S: Final = 600
#: Characters of a key's head that every row of that key begins with, shortened or not.
_HEAD: Final = 440


@dataclass(frozen=True, slots=True)
class Held:
    """An order that could be mistaken for this one is being posted or in doubt."""

    holder: str  # its key as sent
    written: OrderEntry | None = None  # this order's row, where it was written before the other was seen

    def undone(self, entry: OrderEntry) -> OrderEntry:
        """Return an entry as it was before `begin`, to be stored over what that wrote."""
        row = self.written
        if row is None:
            return entry
        return replace(entry, etag=row.etag, index=row.index, hold=row.hold, place=row.place, left=row.left)


class OrderStore:
    """The orders of one connection, in table BcOrders."""

    def __init__(self, table: Table, state: str, connection: str = DEFAULT_CONNECTION) -> None:
        """Take the table, the name of the state, and the id of the connection whose orders it keeps."""
        self._table = table
        self._partition = row_key(state)
        self.connection = connection
        self.upkeep = UpkeepNotes(table, state)

    def load(self, key: str, company: str) -> OrderEntry | None:
        """Return the entry of a sender's key in one company."""
        for spelling in spellings(key):
            row = self._table.get(self._partition, row_key("order", spelling, company))
            if row is not None and is_of(row, key):
                return entry_of(row)
        return None

    def at(self, key: str, company: str) -> OrderEntry | None:
        """Return the entry whose key is stored so."""
        row = self._table.get(self._partition, row_key("order", key, company))
        return None if row is None else entry_of(row)

    def find(self, key: str) -> list[OrderEntry]:
        """Return the entries of a sender's key in whatever company."""
        found = []
        for spelling in spellings(key):
            head = (row_key("order", spelling) + "|")[:_HEAD]
            rows = self._table.query(self._partition, head, after(head))
            found += [entry_of(row) for row in rows if row.text("key") == spelling and is_of(row, key)]
        return found

    def by_message(self, message: bytes, since: datetime, content_of: Callable[[str], str]) -> OrderEntry | None:
        """Return the entry of this very message that is not done, or was created or parked lately; reads all entries.

        `content_of`: digest of the message under a key, by which one is known that is erased.
        """
        prefix, found = "order|", None
        for row in self._table.query(self._partition, prefix, after(prefix)):
            if row.data("message") not in {message, b""}:
                continue
            entry = entry_of(row)
            if entry.message and entry.status in {"posting", "waiting"}:
                return entry
            if entry.status in {"created", "parked"} and (entry.posted_at or entry.first_at or since) >= since:
                found = entry if entry.message or entry.content == content_of(entry.key) else found
        return found

    def save(self, entry: OrderEntry) -> OrderEntry:
        """Store a new or changed entry with its rows beside it; StateConflict when somebody else was faster.

        A created order claims its document here, what is no longer in doubt gives up its hold, and what had a row under
        no company leaves it.
        """
        return self._write(replace(entry, hold=entry.hold if entry.in_doubt else ""), entry, self._claims(entry))

    def join(self, created: OrderEntry) -> OrderEntry:
        """Store a created order, which has its document, with more messages; StateConflict as `save`."""
        return self._write(created, created, [])

    def begin(self, entry: OrderEntry) -> OrderEntry | Held:
        """Store an entry that is about to be posted, and hold back every order that could be mistaken for it.

        Held when such an order is under way itself: the caller stores this one as it was. StateConflict when somebody
        else was faster.
        """
        hold = row_key("hold", *entry.likeness.split("|"))
        if entry.hold == hold:
            return self.save(entry)
        begun = self._hold(entry, hold)
        if isinstance(begun, Held):
            return begun
        holder = self._alike(begun)  # after its own hold is there: of two that begin at once, one sees the other
        return begun if holder is None else Held(holder.shown_key, begun)

    def _hold(self, entry: OrderEntry, hold: str) -> OrderEntry | Held:
        values: dict[str, Value] = {"order": entry.key, "company": entry.company}
        row = Row(partition=self._partition, key=hold, values=values)
        try:
            return self._write(replace(entry, hold=hold), entry, [Insert(row)])
        except StateConflict:
            held = self._table.get(self._partition, hold)
            if held is None:
                raise  # it was the order itself that somebody else moved
            holder = self.at(held.text("order"), held.text("company"))
            if holder is not None and holder.hold == hold and holder.key != entry.key:
                return Held(holder.shown_key)
            stale = replace(row, etag=held.etag)  # a release that knows no holds left it behind
            return self._write(replace(entry, hold=hold), entry, [Replace(stale)])

    def _alike(self, entry: OrderEntry) -> OrderEntry | None:
        """Return an order under way that bears the number of this one and could be mistaken for it."""
        head = row_key("hold", entry.likeness.partition("|")[0]) + "|"
        for row in self._table.query(self._partition, head, after(head)):
            if not are_alike("|".join(split_key(row.key)[1:]), entry.likeness):
                continue
            holder = self.at(row.text("order"), row.text("company"))
            if holder is not None and holder.hold == row.key and holder.key != entry.key:
                return holder
        return None

    def _claims(self, entry: OrderEntry) -> list[Change]:
        is_claimed = entry.status == "created" and entry.number
        return [Insert(claim_row(self._partition, entry))] if is_claimed else []

    def claimant(self, company: str, document: PostedOrder) -> str:
        """Return the order key that a document belongs to, "" when it belongs to none.

        A claim of an earlier document that bore the same number does not count, and goes.
        """
        row = self._table.get(self._partition, row_key("claim", company, document.number))
        if row is None:
            return ""
        if row.text("order_id") and document.order_id and row.text("order_id") != document.order_id:
            self._table.delete(self._partition, row.key)
            return ""
        return row.text("order")

    def _write(self, entry: OrderEntry, stored: OrderEntry, more: list[Change]) -> OrderEntry:
        entry = replace(entry, index=index_key(entry), place=entry.place or row_key("order", entry.key, entry.company))
        row = order_row(self._partition, entry)
        writes: list[Change] = [Replace(row) if entry.etag else Insert(row), *more]
        gone = [old for old, new in ((stored.index, entry.index), (stored.hold, entry.hold)) if old and old != new]
        if entry.index:
            writes.append(Upsert(index_row(self._partition, entry)))
        if entry.left is not None:  # as it was read: a message that joined it since moves, too
            writes.append(Delete(Row(partition=self._partition, key=entry.left.place, etag=entry.left.etag)))
            gone += [entry.left.index] if entry.left.index else []
        return replace(entry, etag=self._write_without(gone, writes)[0], left=None)

    def _write_without(self, keys: list[str], writes: list[Change]) -> list[str]:
        """Write, and delete rows with it; one that is gone already, as 0.1.0 may have left it, stops nobody.

        Only a refusal is worth a look: nearly always the rows are there.
        """
        try:
            return self._table.write([*writes, *map(self._deleted, keys)])
        except StateConflict:
            there = [key for key in keys if self._table.get(self._partition, key) is not None]
            if there == keys:
                raise
            return self._table.write([*writes, *map(self._deleted, there)])

    def _deleted(self, key: str) -> Change:
        return Delete(Row(partition=self._partition, key=key))

    def forget(self, entry: OrderEntry) -> None:
        """Delete an entry with its index row, both or none."""
        place = entry.place or row_key("order", entry.key, entry.company)
        row = self._table.get(self._partition, place)
        if row is not None:
            self._write_without([one for one in (place, row.text("index")) if one], [])

    def forget_unread(self, created: OrderEntry) -> None:
        """Delete the entry of a message that was refused under the key of an order which is created now.

        What was another order stays for whoever sent it.
        """
        entry = self.at(created.key, "")
        if entry is not None and entry.status == "rejected" and entry.content in {"", created.content}:
            self.forget(entry)

    def page(self, behind: str, limit: int) -> list[Row]:
        """Return rows as they are stored, those of one kind after those of another, from behind a key on."""
        low = f"{behind}!" if behind else ""  # the next possible key
        return list(self._table.query(self._partition, low, limit=limit))

    def for_the_book(self, row: Row) -> Row:
        """Return a row as the order book has it: an order that is in BC without what it held."""
        is_created = row.text("status") == "created" and row.text("key") != ""
        return order_row(self._partition, without_contents(entry_of(row))) if is_created else row

    def restore(self, entry: OrderEntry) -> bool:
        """Store an order that is missing, with what follows from it; False when it is there."""
        entry = replace(entry, etag="", index=index_key(entry))
        if self._table.get(self._partition, entry.place) is not None:
            return False
        beside = [index_row(self._partition, entry)] if entry.index else []
        beside += [claim_row(self._partition, entry)] if entry.status == "created" and entry.number else []
        beside = [row for row in beside if self._table.get(self._partition, row.key) is None]
        try:
            self._table.write([Insert(order_row(self._partition, entry)), *map(Insert, beside)])
        except StateConflict:
            return False
        return True

    def add(self, row: Row) -> bool:
        """Store a row beside orders that is missing; False when it is there, or its order goes on without it."""
        is_there = self._table.get(self._partition, row.key) is not None
        if is_there or (row.key.startswith("stop|") and self.at(row.text("order"), row.text("company")) is not None):
            return False
        try:
            self._table.insert(row)
        except StateConflict:
            return False
        return True

    def due(self, now: datetime, limit: int) -> list[OrderEntry]:
        """Return orders whose time has come, the longest waiting first."""
        high = row_key("due", stamp(now)) + "~"
        return [entry for entry in self._entries(self._index("due", high, limit)) if entry.status == "waiting"]

    def waiting(self, limit: int) -> list[OrderEntry]:
        """Return orders that wait for a transient fault to pass."""
        return list(self._entries(self._index("due", "", limit)))

    def stopped(self, limit: int, *, only: OrderStatus | None = None, of: int = 0) -> list[OrderEntry]:
        """Return orders that were rejected or parked, or `only` one of these: at most `limit` of the first `of`."""
        rows = self._stopped(of or limit, is_dismissed=False)
        return list(self._entries([row for row in rows if only in {None, row.text("status")}][:limit]))

    def counts(self, most: int) -> dict[str, int]:
        """Return how many orders wait, are parked or are rejected, each counted up to `most`."""
        stopped = [row.text("status") for row in self._stopped(most, is_dismissed=False)]
        found = {status: stopped.count(status) for status in ("parked", "rejected")}
        return {**found, "waiting": len(self._index("due", "", most))}

    def causes(self, most: int) -> Counter[str]:
        """Return how many of the first `most` orders that wait for a person are of each cause."""
        return Counter(map(self._cause, self._stopped(most, is_dismissed=False)))

    def of_cause(self, cause: str, limit: int, of: int) -> list[OrderEntry]:
        """Return orders that wait for a person for one cause: at most `limit` of the first `of`."""
        rows = (row for row in self._stopped(of, is_dismissed=False) if self._cause(row) == cause)
        return list(self._entries(list(islice(rows, limit))))

    def dismiss(self, key: str, company: str, now: datetime) -> bool:
        """Note that nobody wants more of a rejected or parked order: it is kept and asks for nobody until it ends anew.

        False when it is not there, or goes on at this very moment. The mark is in its index row, which every later end
        writes anew.
        """
        entry = self.load(code_of(key), company)
        row = self._table.get(self._partition, entry.index) if entry is not None and entry.status in STOPPED else None
        if row is None:
            return False
        try:
            self._table.replace(row.with_values(dismissed_at=now))
        except StateConflict:
            return False
        return True

    def erase(self, entry: OrderEntry) -> bool:
        """Forget what an order that ended held, but for what stops a second post; False when it goes on just now.

        Its rows beside it stay, a dismissal too.
        """
        erased = without_contents(entry)
        stop = self._table.get(self._partition, entry.index) if entry.index else None
        writes: list[Change] = [Replace(order_row(self._partition, erased))]
        writes += [Replace(stop.with_values(cause=cause_of(erased)))] if stop is not None else []
        try:
            self._table.write(writes)
        except StateConflict:
            return False
        return True

    def dismissed(self, limit: int, of: int) -> tuple[int, list[OrderEntry]]:
        """Return how many of the first `of` stopped orders are dismissed, and at most `limit` of them."""
        rows = self._stopped(of, is_dismissed=True)
        return len(rows), list(self._entries(rows[:limit]))

    def _stopped(self, most: int, *, is_dismissed: bool) -> list[Row]:
        return [row for row in self._index("stop", "", most) if ("dismissed_at" in row.values) is is_dismissed]

    def _cause(self, row: Row) -> str:
        """Return the cause of an index row; 0.1.0 noted none."""
        if row.text("cause"):
            return row.text("cause")
        entry = self.at(row.text("order"), row.text("company"))
        return "" if entry is None else cause_of(entry)

    def _index(self, kind: str, high: str, limit: int) -> list[Row]:
        return list(self._table.query(self._partition, kind + "|", high or after(kind + "|"), limit=limit))

    def _entries(self, rows: list[Row]) -> Iterator[OrderEntry]:
        for row in rows:
            entry = self.at(row.text("order"), row.text("company"))
            if entry is not None:
                yield entry
