"""What is announced about a record, given what is known: once each, and again only for the job that announced it."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.business_central import records
from shared.business_central.entities import ITEMS, SALES_INVOICES, Entity
from shared.changes.ledger_rules import (
    Announcement,
    Decision,
    Known,
    SnapshotEntry,
    announced,
    announced_by,
    decide,
    decide_deleted,
    number_digest,
    snapshot_entry,
)

ID = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"
CREATED = frozenset({"created"})
ALL = frozenset({"created", "updated", "deleted"})


def item(tag: str = "a") -> records.Record:
    """An item in some version."""
    return records.parse_record(json.dumps({"@odata.etag": tag, "id": ID}).encode())


def invoice(status: str, number: str) -> records.Record:
    """An invoice in some state."""
    fields = {"@odata.etag": status + number, "id": ID, "status": status, "number": number}
    return records.parse_record(json.dumps(fields).encode())


def look(
    record: records.Record, known: Known | None = None, entry: SnapshotEntry | None = None, *, job: str = "j1",
    changes: frozenset[str] = CREATED, notified_created: bool = False, fresh: bool = True, entity: Entity = ITEMS,
) -> Decision:  # fmt: skip
    """Decide with defaults."""
    return decide(
        entity, record, known, entry, job=job, changes=changes, notified_created=notified_created, fresh=fresh
    )  # fmt: skip


def test_a_record_nobody_knows_is_created() -> None:
    """Neither in the snapshot nor in the ledger: it is new, and the job claims it."""
    assert look(item()) == Decision(("created",), Known(created_by="j1"))


def stamped(**fields: str) -> records.Record:
    """A record with a time."""
    body = {"@odata.etag": "a", "id": ID, "lastModifiedDateTime": "2026-02-11T11:00:00Z", **fields}
    return records.parse_record(json.dumps(body).encode())


def test_what_was_there_before_the_watch_and_hidden_from_its_first_list_is_old() -> None:
    """A replica lagged: the time says it. Unless BC tells that it was created, or it bears no time."""
    assert look(stamped(), fresh=False) == Decision((), None)
    assert look(stamped(), fresh=False, notified_created=True).announce == ("created",)
    assert look(item(), fresh=False).announce == ("created",)
    assert look(stamped(), Known(created_by="j1"), fresh=False).announce == ("created",)


@pytest.mark.parametrize("status", ["Draft", "Open", "Paid"])
def test_an_invoice_that_was_hidden_from_the_first_list_is_not_announced_as_posted(status: str) -> None:
    """It counts as if the first list had held it."""
    record = stamped(status=status, number="S1")
    assert look(record, fresh=False, entity=SALES_INVOICES).announce == ()


def test_a_record_of_the_snapshot_is_old() -> None:
    """It was there when the watch began; nothing is announced and nothing stored."""
    assert look(item(), entry=SnapshotEntry()) == Decision((), None)


def test_what_bc_tells_to_be_created_outranks_the_snapshot() -> None:
    """A record made while the snapshot was taken is in it, and still new."""
    assert look(item(), entry=SnapshotEntry(), notified_created=True).announce == ("created",)


def test_the_same_job_announces_again_and_another_keeps_silent() -> None:
    """A redelivery repeats itself word for word; whoever else comes finds it announced (P5)."""
    first = look(item())
    again = look(item(), first.known)
    assert (again.announce, again.known) == (("created",), None)
    assert look(item(), first.known, job="j2") == Decision((), None)
    assert look(item(), first.known, job="j2", notified_created=True) == Decision((), None)


def test_updates_are_announced_once_per_version() -> None:
    """Each new version is news to the first job that sees it."""
    known = look(item("a"), changes=ALL).known
    assert look(item("a"), known, job="j2", changes=ALL) == Decision((), None)
    second = look(item("b"), known, job="j2", changes=ALL)
    assert second.announce == ("updated",)
    assert look(item("b"), second.known, job="j2", changes=ALL).announce == ("updated",)
    assert look(item("b"), second.known, job="j3", changes=ALL).announce == ()
    assert look(item("c"), second.known, job="j3", changes=ALL).announce == ("updated",)


def test_updates_are_not_announced_unless_asked_for() -> None:
    """BC_CHANGES without `updated` tells creations only."""
    known = look(item("a")).known
    assert look(item("b"), known, job="j2").announce == ()


def test_an_old_record_in_the_overlap_is_no_update() -> None:
    """The first delta reads a little of the past; a record of the snapshot not modified since is no news."""
    assert look(item(), entry=SnapshotEntry(), changes=ALL, fresh=False) == Decision((), None)
    assert look(item(), entry=SnapshotEntry(), changes=ALL, fresh=True).announce == ("updated",)


def test_a_created_record_is_not_announced_as_updated_in_the_same_version() -> None:
    """The created event carries that version already."""
    known = look(item("a"), changes=ALL).known
    assert look(item("a"), known, job="j2", changes=ALL).announce == ()


@pytest.mark.parametrize("status", ["Open", "Paid", "Canceled", "Corrective"])
def test_an_invoice_first_seen_posted_is_created_and_posted(status: str) -> None:
    """Posting an order makes an invoice that was never a draft."""
    decision = look(invoice(status, "103001"), entity=SALES_INVOICES)
    assert decision.announce == ("created", "posted")
    assert look(invoice(status, "103001"), decision.known, job="j2", entity=SALES_INVOICES).announce == ()


def test_a_draft_is_created_and_later_posted_under_another_number() -> None:
    """Posting gives a draft another number: that distinguishes Open from a released draft."""
    draft = look(invoice("Draft", "102001"), entity=SALES_INVOICES)
    assert draft.announce == ("created",)
    released = look(invoice("Open", "102001"), draft.known, job="j2", entity=SALES_INVOICES)
    assert released.announce == ()
    posted = look(invoice("Open", "103001"), released.known or draft.known, job="j3", entity=SALES_INVOICES)
    assert posted.announce == ("posted",)
    assert look(invoice("Paid", "103001"), posted.known, job="j4", entity=SALES_INVOICES).announce == ()
    assert look(invoice("Open", "103001"), posted.known, job="j3", entity=SALES_INVOICES).announce == ("posted",)


def test_a_draft_posted_under_its_own_number_is_announced_once_it_is_plain() -> None:
    """Where the series are one, Open stays ambiguous and Paid settles it."""
    draft = look(invoice("Draft", "1"), entity=SALES_INVOICES).known
    assert look(invoice("Open", "1"), draft, job="j2", entity=SALES_INVOICES).announce == ()
    assert look(invoice("Paid", "1"), draft, job="j3", entity=SALES_INVOICES).announce == ("posted",)


@pytest.mark.parametrize(
    ("was", "now", "announced"),
    [
        (("Paid", "1"), ("Canceled", "1"), ()),
        (("Draft", "1"), ("Open", "2"), ("posted",)),
        (("Draft", "1"), ("Paid", "1"), ("posted",)),
        (("Draft", "1"), ("Open", "1"), ()),
        (("Draft", "1"), ("In_x0020_Review", "1"), ()),
        (("Open", "1"), ("Paid", "1"), ()),  # it was posted then, most likely; a second message would be a lie
        (("Open", "1"), ("Open", "2"), ("posted",)),  # it was a released draft then
    ],
)
def test_an_invoice_of_the_snapshot_is_announced_when_it_is_surely_posted_since(
    was: tuple[str, str], now: tuple[str, str], announced: tuple[str, ...]
) -> None:
    """The snapshot keeps the number of what was not surely settled, so that a later posting is seen."""
    entry = snapshot_entry(SALES_INVOICES, *was)
    assert look(invoice(*now), entry=entry, entity=SALES_INVOICES).announce == announced


def test_the_snapshot_keeps_numbers_only_where_they_decide() -> None:
    """Items and settled invoices need no more than their id."""
    assert snapshot_entry(ITEMS, "", "1") == SnapshotEntry()
    assert snapshot_entry(SALES_INVOICES, "Paid", "1") == SnapshotEntry()
    assert snapshot_entry(SALES_INVOICES, "Draft", "1") == SnapshotEntry(number_digest("1"), draft=True)
    assert snapshot_entry(SALES_INVOICES, "Open", "1") == SnapshotEntry(number_digest("1"), draft=False)


def test_a_deletion_is_announced_once_and_of_known_records_only() -> None:
    """Who never heard of a record need not hear that it is gone."""
    assert decide_deleted(None, None, job="j1") == Decision((), None)
    first = decide_deleted(Known(created_by="j0"), None, job="j1")
    assert first == Decision(("deleted",), Known(created_by="j0", deleted_by="j1"))
    assert decide_deleted(first.known, None, job="j1") == Decision(("deleted",), None)
    assert decide_deleted(first.known, None, job="j2") == Decision((), None)
    assert decide_deleted(None, SnapshotEntry(), job="j1").announce == ("deleted",)


steps = st.tuples(
    st.sampled_from(["j1", "j2", "j3"]),
    st.sampled_from([("Draft", "1"), ("Open", "1"), ("Open", "2"), ("Paid", "2"), ("Canceled", "2")]),
    st.booleans(),
)


@given(st.lists(steps, max_size=12), st.none() | st.sampled_from([("Draft", "1"), ("Open", "1"), ("Paid", "2")]))
def test_no_order_of_sightings_tells_anything_by_two_jobs(
    seen: list[tuple[str, tuple[str, str], bool]], was: tuple[str, str] | None
) -> None:
    """However sightings are doubled and shuffled, one job only tells a creation and one only a posting (P5).

    The job that announced it does so again whenever it is delivered again.
    """
    entry = None if was is None else snapshot_entry(SALES_INVOICES, *was)
    known: Known | None = None
    tellers: dict[str, set[str]] = {}
    for job, state, notified_created in seen:
        record = invoice(*state)
        decision = look(
            record, known, entry, job=job, notified_created=notified_created, entity=SALES_INVOICES, changes=ALL
        )  # fmt: skip
        known = decision.known or known
        for change in set(decision.announce) - {"updated"}:
            tellers.setdefault(change, set()).add(job)
        again = look(
            record, known, entry, job=job, notified_created=notified_created, entity=SALES_INVOICES, changes=ALL
        )
        assert set(decision.announce) - {"updated"} <= set(again.announce)
    assert all(len(jobs) == 1 for jobs in tellers.values())


def priced(price: str, tag: str, bins: object = ()) -> records.Record:
    """A record of which only the price and the bins count."""
    fields = f'{{"@odata.etag": "{tag}", "id": "{ID}", "unitPrice": {price}, "bins": {json.dumps(bins)}}}'
    return records.parse_record(fields.encode())


PRICED = replace(ITEMS, only_when_changed=("unitPrice", "bins"))
FIRST = look(priced("1.10", "a"), changes=ALL, entity=PRICED).known


@pytest.mark.parametrize(
    ("record", "job", "announced"),
    [
        (priced("1.10", "b"), "j2", ()),
        (priced("1.1", "b"), "j2", ("updated",)),  # digit for digit: whether 1.1 is 1.10 is nobody's guess here
        (priced("2", "b"), "j2", ("updated",)),
        (priced("1.10", "b", [{"id": 1}]), "j2", ("updated",)),
        (priced("1.10", "a"), "j1", ("created",)),
    ],
)
def test_only_named_properties_make_an_update(record: records.Record, job: str, announced: tuple[str, ...]) -> None:
    """What else changes is silent; the event of a creation carries the first values."""
    assert look(record, FIRST, job=job, changes=ALL, entity=PRICED).announce == announced


def test_annotations_of_expanded_records_do_not_count() -> None:
    """Their ETags move with whatever changes."""
    known = look(priced("1", "a", [{"@odata.etag": "x", "code": "A"}]), changes=ALL, entity=PRICED).known
    same, other = priced("1", "b", [{"@odata.etag": "y", "code": "A"}]), priced("1", "b", [{"code": "B"}])
    assert look(same, known, job="j2", changes=ALL, entity=PRICED) == Decision((), None)
    assert look(other, known, job="j2", changes=ALL, entity=PRICED).announce == ("updated",)


def test_an_update_whose_output_was_lost_leaves_again_though_nothing_that_counts_has_changed_since() -> None:
    """The job that claimed it is delivered again and finds a newer, silent version (P4)."""
    claimed = look(priced("2", "b"), FIRST, job="j2", changes=ALL, entity=PRICED).known
    assert look(priced("2", "c"), claimed, job="j2", changes=ALL, entity=PRICED).announce == ("updated",)
    assert look(priced("2", "c"), claimed, job="j3", changes=ALL, entity=PRICED).announce == ()


def test_a_record_from_before_the_watch_is_announced_at_its_first_update() -> None:
    """Nobody knows what it was; from then on it is known."""
    first = look(priced("1", "a"), entry=SnapshotEntry(), changes=ALL, entity=PRICED)
    assert first.announce == ("updated",)
    assert look(priced("1", "b"), first.known, job="j2", changes=ALL, entity=PRICED).announce == ()


def test_a_creation_that_nobody_asked_for_is_noted_in_silence() -> None:
    """What follows it is an update."""
    updates = frozenset({"updated"})
    made = look(item(), changes=updates)
    assert made.announce == ()
    assert look(item("b"), made.known, job="j2", changes=updates).announce == ("updated",)


def said(record: records.Record, known: Known | None, entity: Entity = ITEMS) -> list[str]:
    """The changes that were announced of a record, by name."""
    return [one.change for one in announced(entity, record, known)]


def test_an_update_stands_until_something_that_counts_has_changed() -> None:
    """Under the version that it was about, by which its event is known."""
    entity = replace(ITEMS, only_when_changed=("unitPrice",))
    first, renamed, dearer = (
        records.parse_record(json.dumps({"@odata.etag": tag, "id": ID, "unitPrice": price}).encode())
        for tag, price in (("a", 1), ("b", 1), ("c", 2))
    )
    known = look(first, Known(created_by="a", version="older"), job="j1", changes=ALL, entity=entity).known
    assert known is not None
    assert announced(entity, renamed, known) == (
        Announcement("created", renamed), Announcement("updated", renamed, first.version),
    )  # fmt: skip
    assert said(dearer, known, entity) == ["created"]
    assert said(renamed, known, ITEMS) == ["created"]  # every change counts by now


def test_what_was_announced_of_a_record_is_said_with_its_jobs() -> None:
    """An update counts for the version it was about; what is gone is not asked for."""
    known = Known(created_by="a", posted_by="b", version=item().version, version_by="c", deleted_by="d")
    assert said(item(), known) == ["created", "posted", "updated"]
    assert said(item("b"), known) == ["created", "posted"]
    assert said(item(), None) == []
    assert announced_by(known) == (("created", "a"), ("posted", "b"), ("updated", "c"), ("deleted", "d"))
    assert announced_by(None) == announced_by(Known()) == ()


@pytest.mark.parametrize(
    ("field", "value", "proves"),
    [
        ("orderNumber", "101001", True),
        ("orderId", ID, True),
        ("orderId", "00000000-0000-0000-0000-000000000000", False),
        ("disputeStatus", "OPEN", True),
        ("promisedPayDate", "2026-03-01", True),
        ("promisedPayDate", "0001-01-01", False),
    ],
)
def test_what_only_a_posted_invoice_bears_proves_that_it_is_posted(field: str, value: str, proves: bool) -> None:
    """Where its status `Open` may be a released draft's; and only if it was surely a draft before."""
    record = stamped(status="Open", number="S1", **{field: value})
    before = number_digest("S1").hex()
    drafted = Known(created_by="a", number=before)
    assert look(record, drafted, job="j2", entity=SALES_INVOICES).announce == (("posted",) if proves else ())
    assert look(record, replace(drafted, unsure=True), job="j2", entity=SALES_INVOICES).announce == ()


@pytest.mark.parametrize(
    ("status", "unsure", "stays"), [("Open", True, True), ("Open", False, False), ("Draft", True, False)]
)
def test_a_number_of_a_snapshot_is_unsure_until_the_invoice_is_surely_a_draft(
    status: str, unsure: bool, stays: bool
) -> None:
    """A draft that was seen makes it sure; nothing makes it unsure again."""
    row = Known(created_by="a", number=number_digest("S1").hex(), unsure=unsure)
    decision = look(invoice(status, "S1"), row, job="j2", entity=SALES_INVOICES)
    assert decision.announce == ()
    assert (decision.known or row).unsure is stays


def test_what_a_row_says_of_the_number_is_newer_than_the_snapshot() -> None:
    """The draft got another number since."""
    row = Known(number=number_digest("S2").hex())
    entry = SnapshotEntry(open_number=number_digest("S1"), draft=True)
    assert look(invoice("Open", "S2"), row, entry, entity=SALES_INVOICES).announce == ()


def test_a_digest_of_a_number_has_eight_bytes_and_nothing_is_a_draft_unasked() -> None:
    """As rows and snapshots hold it (P20)."""
    assert number_digest("S1").hex() == "3696ad59777e09d5"
    assert not SnapshotEntry().draft
    assert not Known().unsure
