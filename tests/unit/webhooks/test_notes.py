"""Notes of webhooks survive their rows, and an odd row is looked into and not trusted."""

from datetime import UTC, datetime

from shared.storage.table import Row
from shared.webhooks.notes import WebhookNote, WebhookNoteStore
from tests.support.memory_storage import MemoryTables

AT = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def test_a_webhook_note_survives_its_row_and_is_forgotten() -> None:
    """All fields, with and without times; long errors are cut to fit."""
    book = WebhookNoteStore(MemoryTables().table("BcSubscriptions"), "conn")
    note = WebhookNote(company="c", entity="items", status="active", subscription_id="s", expires_at=AT)
    failed = WebhookNote(company="c", entity="salesInvoices", status="failed", error="e" * 5000)
    book.save(note)
    book.save(failed)
    assert book.load("c", "items") == note
    assert [one.entity for one in book.all()] == ["items", "salesInvoices"]
    assert len(book.all()[1].error) == 1000
    book.forget("c", "items")
    book.forget("c", "items")
    assert book.load("c", "items") is None


def test_a_note_of_an_unknown_kind_counts_as_failed() -> None:
    """Written by another version: it is looked into, not trusted."""
    table = MemoryTables().table("BcSubscriptions")
    table.insert(Row(partition="conn", key="c|items", values={"company": "c", "entity": "items", "status": "great"}))
    assert WebhookNoteStore(table, "conn").all()[0].status == "failed"
