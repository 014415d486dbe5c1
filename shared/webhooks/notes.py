"""Notes of webhooks: what the status shows, and whether one that BC lacks was lost or never made.

They also serve as the list of companies and of offered webhooks while BC does not give it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.storage.keys import row_key
from shared.storage.table import Row, Table, Value

type WebhookStatus = Literal["active", "failed", "unsupported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookNote:
    """What is known of one webhook."""

    company: str
    entity: str
    status: WebhookStatus
    subscription_id: str = ""
    expires_at: datetime | None = None
    error: str = ""


class WebhookNoteStore:
    """The webhooks of one connection, in table BcSubscriptions."""

    def __init__(self, table: Table, connection: str) -> None:
        """Take the table and the connection whose webhooks it keeps."""
        self._table = table
        self._partition = row_key(connection)

    def load(self, company: str, entity: str) -> WebhookNote | None:
        """Return the note of one webhook."""
        row = self._table.get(self._partition, row_key(company, entity))
        return None if row is None else _note(row)

    def all(self) -> list[WebhookNote]:
        """Return every note."""
        return [_note(row) for row in self._table.query(self._partition)]

    def save(self, note: WebhookNote) -> None:
        """Store a note."""
        values: dict[str, Value] = {
            "company": note.company, "entity": note.entity, "status": note.status,
            "subscription_id": note.subscription_id, "error": note.error[:1000],
        }  # fmt: skip
        if note.expires_at is not None:
            values["expires_at"] = note.expires_at
        self._table.upsert(Row(partition=self._partition, key=row_key(note.company, note.entity), values=values))

    def forget(self, company: str, entity: str) -> None:
        """Delete the note of a webhook that is no longer wanted."""
        self._table.delete(self._partition, row_key(company, entity))


def _note(row: Row) -> WebhookNote:
    status = row.text("status")
    known: WebhookStatus = "active" if status == "active" else "unsupported" if status == "unsupported" else "failed"
    return WebhookNote(
        company=row.text("company"), entity=row.text("entity"), status=known,
        subscription_id=row.text("subscription_id"), expires_at=row.time("expires_at"),
        error=row.text("error"),
    )  # fmt: skip
