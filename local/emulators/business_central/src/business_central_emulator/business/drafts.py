"""Reads that change what they read: orders and draft invoices whose lines a person changed.

AL pages APIV2SalesOrders and APIV2SalesInvoices redistribute invoice discounts in OnAfterGetRecord: the first read on
the primary by someone who may write sales headers recalculates such a document.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from business_central_emulator.business.documents import LINES
from business_central_emulator.data import errors
from business_central_emulator.data.environment import Work
from business_central_emulator.data.record import Record

_DOCUMENTS = ("salesOrders", "salesInvoices")
_LINES = {LINES[name] for name in _DOCUMENTS}


@dataclass(slots=True, kw_only=True)
class Drafts:
    """Which documents wait for their recalculation, and what a read does to them.

    With `modified_by_reads` a read with `ReadWrite` gives such a document a new time and ETag, and an `updated` is
    notified. Whether `ReadOnly` fails on it in BC is not known; `read_only_fails` plays that.
    """

    modified_by_reads: bool = False
    read_only_fails: bool = False
    readers: set[str] = field(default_factory=set)  # principals who may not write sales headers
    pending: set[str] = field(default_factory=set)

    def changed_by_person(self, records: Iterable[Record]) -> None:
        """Note the documents among changed rows, or those that changed lines belong to."""
        for record in records:
            if record.entity.name in _LINES:
                self.pending.add(record["documentId"])

    def recalculate(self, work: Work, record: Record) -> None:
        """Change a document that waits, as a read on the primary does."""
        if self.modified_by_reads and record.entity.name in _DOCUMENTS and record.id in self.pending:
            self.pending.discard(record.id)
            if record["status"] == "Draft":
                work.touch(record)

    def refuse(self, record: Record) -> None:
        """Fail as a read-only transaction would on a document that waits.

        Raises:
            ApiError: 400.
        """
        if self.read_only_fails and record.entity.name in _DOCUMENTS and record.id in self.pending:
            raise errors.dialog("The document cannot be recalculated by a read with read-only intent.")
