"""What this release writes, the last one reads: its own readers, out of its package, over rows and messages of today.

Both are at work while a deployment goes on, and 0.1.0 alone after a rollback (P20).
"""

import json
import random
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from shared.business_central.lease_rows import SlotRows
from shared.business_central.records import parse_record
from shared.changes import pulled_versions
from shared.changes.claims import Claims
from shared.changes.jobs import STORED_PURPOSES, Cursor, NotificationJob, PageJob, RecordChange, Slice
from shared.changes.ledger import Look
from shared.changes.streams import Stream, StreamState
from shared.dead_letters import redrive
from shared.dead_letters.dead_letter_store import DeadLetter
from shared.operations.timers import SETTINGS, TimerJob
from shared.orders.order_entry import OrderEntry, Sender
from shared.outputs import Outputs
from shared.resource_names import QUEUE_NOTIFICATIONS, QUEUE_PAGES, TABLE_CONNECTIONS
from shared.webhooks.notes import WebhookNote
from tests.simulation import old_release
from tests.simulation.old_release import OldRelease, OldTable
from tests.simulation.world import ENV, World

AT: Final = datetime(2026, 2, 11, 12, 0, tzinfo=UTC)
ID: Final = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"
COMPANY: Final = "262f81f2-9490-516c-9c50-9fd2565a0489"
ITEM: Final = {
    "@odata.etag": 'W/"1"', "id": ID, "number": "1000", "lastModifiedDateTime": "2026-02-11T11:59:00Z",
    "itemVariants": [{"@odata.etag": 'W/"2"', "id": ID, "lastModifiedDateTime": "2026-02-11T11:59:30Z"}],
}  # fmt: skip


@pytest.fixture
def world() -> World:
    """An app of today, which has not run yet."""
    return World(demo_data=False, env={"BC_COMPANIES": COMPANY})


@pytest.fixture
def old(world: World) -> OldRelease:
    """A process of 0.1.0 on the same rows."""
    return OldRelease(world, {**ENV, "BC_COMPANIES": COMPANY}, random.Random(1))


def module(name: str) -> Any:
    """A module of 0.1.0."""
    return old_release.load()[name]


def shared_members(made: Any, theirs: Any) -> dict[str, tuple[Any, Any]]:
    """What differs between two values in the members that both have by one name."""
    names = {one.name for one in fields(made)} & set(type(theirs).__dataclass_fields__)
    return {name: (getattr(made, name), getattr(theirs, name)) for name in names - {"etag", "index"}}


@pytest.mark.parametrize("function", SETTINGS)
def test_the_second_clocks_jobs_are_dropped_without_a_word(world: World, old: OldRelease, function: str) -> None:
    """0.1.0 has no second clock: it keeps no dead letter of them, even at their last delivery."""
    text = TimerJob(function=function, job="j-1").to_text()
    assert old.work(QUEUE_NOTIFICATIONS, text.encode(), "m-1", 5) == Outputs()
    assert old.took == 1
    assert world.stores.dead_letters.all(10) == []


@pytest.mark.parametrize("phase", ["records", "expanded", "mend", "commit", "settle"])
@pytest.mark.parametrize("purpose", list(STORED_PURPOSES))
def test_page_jobs_ask_for_the_same_page(purpose: Any, phase: Any) -> None:
    """Every member that 0.1.0 knows has its place and its word; it reads a mending page as the delta once more."""
    job = PageJob(
        run="r-1", purpose=purpose, mode="delta", company=COMPANY, entity="items", page=7, phase=phase,
        slice=Slice(number=2, since="2026-02-11T11:00:00Z", low="A", high="B"),
        cursor=Cursor(link="https://x", last="C", done=(ID,), linked="D", doubts=1, rows=50, most_rows=100),
        began="2026-02-11T12:00:00.000Z", total=9, redrive=3, again=2,
    )  # fmt: skip
    text = job.to_text()
    theirs = module("core.jobs").PageJob.from_text(text)
    sent = json.loads(text)
    known = json.loads(theirs.to_text())
    assert known == {name: sent[name] for name in known}
    assert theirs.job == job.job


@pytest.mark.parametrize("collection", ["", "filtered", "plain"])
def test_notification_jobs_name_the_same_records(collection: Any) -> None:
    """Those of a delivery, of a lost count and of a snapshot."""
    changes = (RecordChange(key=ID, kind="created", at="2026-02-11T11:59:00Z"), RecordChange(key=ID, kind="deleted"))
    job = NotificationJob(
        job="j-1", company=COMPANY, entity="items", changes=changes, collection=collection, from_snapshot=True,
        redrive=1,
    )  # fmt: skip
    theirs = module("core.jobs").NotificationJob.from_text(job.to_text())
    assert [(one.key, one.kind, one.at) for one in theirs.changes] == [(one.key, one.kind, one.at) for one in changes]
    assert (theirs.job, theirs.collection, theirs.compared, theirs.redrive) == ("j-1", collection, True, 1)


@pytest.mark.parametrize("queue", [QUEUE_PAGES, QUEUE_NOTIFICATIONS])
def test_a_job_of_an_entity_that_it_does_not_know_is_kept(world: World, old: OldRelease, queue: str) -> None:
    """It becomes a dead letter, whose redrive this release works on: set BC_ENTITIES when 0.1.0 is gone."""
    jobs: dict[str, PageJob | NotificationJob] = {
        QUEUE_PAGES: PageJob(run="r", purpose="reconcile", mode="delta", company=COMPANY, entity="customers"),
        QUEUE_NOTIFICATIONS: NotificationJob(job="j", company=COMPANY, entity="customers"),
    }
    assert old.work(queue, jobs[queue].to_text().encode(), "m-1", 1) == Outputs()
    (kept,) = world.stores.dead_letters.all(10)
    assert kept.next_try_at is None  # neither release retries it by itself
    after = World(demo_data=False, env={"BC_COMPANIES": COMPANY, "BC_ENTITIES": '[{"entitySet": "customers"}]'})
    after.tables, after.stores = world.tables, world.stores
    after.ctx.catalogue.refresh()
    again = redrive.redrive(after.ctx, after.stores.dead_letters, queue, kept.name)
    assert again is not None
    (text,) = (*again.pages, *again.notifications)
    assert json.loads(text)["entity"] == "customers"


def test_streams_are_where_they_were(world: World, old: OldRelease) -> None:
    """Watermark, runs and what ended them; what 0.1.0 rewrites loses what it does not know, and is looked at again."""
    streams, stream = world.stores.changes.streams, Stream("reconcile", COMPANY, "items")
    made = StreamState(
        stream=stream, watermark=AT, watch_from=AT, snapshot=3, run="r-2", mode="delta", partitions=1, planned_at=AT,
        done_run="r-1", done_at=AT, rows=7, again=True, broken=2, unreadable=4, read_since=AT, remembered_from=AT,
        lag_from=AT, lag_at=AT, mend_at=AT + timedelta(hours=6), error="no",
    )  # fmt: skip
    streams.save(made)
    book, theirs = old.context.streams, module("state.streams").Stream("watch", COMPANY, "items")
    read = book.load(theirs)
    differ = {name: pair for name, pair in shared_members(made, read).items() if pair[0] != pair[1]}
    assert set(differ) == {"stream"}
    assert (read.mark, read.generation, read.is_dead("r-1")) == (AT, 3, False)
    book.change(theirs, lambda held: replace(held, rows=8))
    back = streams.load(stream)
    assert (back.watermark, back.run, back.rows) == (AT, "r-2", 8)
    assert back.is_to_mend(AT)  # 0.1.0 lost the time, and what is broken stays on its list


def test_the_pages_of_a_run_are_taken_in_turn(world: World, old: OldRelease) -> None:
    """A page that one release has taken the other takes for a copy; one that 0.1.0 took is not put again."""
    runs, streams = world.stores.changes.runs, world.stores.changes.streams
    job = PageJob(run="r-1", purpose="pull", mode="delta", company=COMPANY, entity="items")
    stream = Stream("pull", COMPANY, "items")
    state = StreamState(stream=stream, run="r-1", mode="delta", partitions=1, planned_at=AT)
    streams.save(state, *runs.planned([job], AT))
    theirs = module("core.jobs").PageJob.from_text(job.to_text())
    take, late = old.context.streams.take_page, AT + timedelta(hours=7)
    assert [one.job for one in runs.standing(state, late).again] == [job.job]
    assert take(theirs, "m-1", AT).name == "GO"
    assert runs.take_page(job, "m-2", AT).name == "COPY"
    assert runs.standing(state, late).again == ()
    assert runs.put_lost_again(late, lambda _: True) == []  # 0.1.0 does not say whether it is at work
    assert runs.take_page(job.next(), "m-3", AT).name == "GO"
    assert runs.beat(job.next(), "m-3", AT)
    assert take(module("core.jobs").PageJob.from_text(job.next().to_text()), "m-4", AT).name == "COPY"
    assert take(theirs, "m-1", AT).name == "REPEAT"
    assert [part.page for part in old.context.streams.end_partition(theirs.next().next(), AT)] == [3]


def test_pulled_versions_are_known(world: World, old: OldRelease) -> None:
    """By the digest of the whole record, also where this release needs that of the expanded record alone."""
    record = parse_record(json.dumps(ITEM).encode())
    theirs = module("core.wire").parse_record(json.dumps(ITEM).encode())
    entity = world.ctx.catalogue.named("items")
    assert entity is not None
    store = world.stores.changes.pulled_versions(COMPANY, entity)
    store.add("r1-00-000001", [pulled_versions.digests(record)], Claims((ID,), 1), None, now=AT)
    seen = module("state.seen")
    book = seen.SeenBook(old.context.records, old.context.settings.connection, COMPANY, "items")
    assert seen.digest(theirs) == pulled_versions.digest(record)
    assert seen.digest(theirs) in book.load(["r1"], but="")
    assert book.told("r1-00-000001") == [ID]
    variant = pulled_versions.expanded_digest(ID, 'W/"2"')
    assert store.load(["r1"], but="")[variant] == seen.digest(theirs)


def test_what_is_announced_is_no_news(world: World, old: OldRelease) -> None:
    """Neither what a job of today has claimed, nor what its snapshot holds; the job itself announces it again."""
    entity = world.ctx.catalogue.named("items")
    assert entity is not None
    changes = frozenset({"created", "updated", "deleted"})
    record = parse_record(json.dumps(ITEM).encode())
    world.stores.changes.streams.save(StreamState(stream=Stream("snapshot", COMPANY, "items"), snapshot=1))
    ledger = world.stores.changes.ledger(COMPANY, entity)
    look = Look(job="j-1", changes=changes, watch_from=None, now=AT)
    assert [one.change for one in ledger.announce([record], look)] == ["created"]
    book = old.context.ledger(COMPANY, module("core.jobs").ENTITIES["items"])
    theirs = module("core.wire").parse_record(json.dumps(ITEM).encode())

    def news(job: str) -> list[str]:
        told = book.announce(
            [theirs], job=job, changes=changes, told_created=frozenset(), watch_from=None, remember_job=True, now=AT
        )
        return [one.change for one in told]

    assert (news("j-2"), news("j-1")) == ([], ["created"])
    assert book.announce_deleted(ID, job="j-3")
    assert not ledger.announce_deleted(ID, job="j-4", now=AT)


@pytest.mark.parametrize("status", ["posting", "waiting", "created", "rejected", "parked"])
def test_orders_stand_where_they_stood(world: World, old: OldRelease, status: Any) -> None:
    """In every status, with all that 0.1.0 asks before it posts; the rows beside them disturb none of its lists."""
    entry = OrderEntry(
        key="WEB-1", company=COMPANY, status=status, message=b'{"order":{"customerNumber":"1"}}', content="c",
        external_number="WEB-1", numbering="shared", likeness="WEB-1|1|2", before="1\n2", attempts=2, waits=3,
        first_at=AT, posted_at=AT, unknown=status == "waiting", refused_at=AT, worker="m-1", error="no",
        next_try_at=AT if status == "waiting" else None, number="101" if status == "created" else "",
        order_id=ID if status == "created" else "", senders=(Sender("m-1", "web-1"), Sender("m-2", "Web-1")),
    )  # fmt: skip
    orders, book = world.stores.orders, old.context.orders
    begun = orders.begin(replace(entry, status="posting", next_try_at=None))
    assert isinstance(begun, OrderEntry)
    orders.save(replace(entry, etag=begun.etag, hold=begun.hold, index=begun.index, place=begun.place))
    read = book.load("WEB-1", COMPANY)
    assert {name: pair for name, pair in shared_members(entry, read).items() if pair[0] != pair[1]} == {}
    assert [one.key for one in book.find("WEB-1")] == ["WEB-1"]
    waits, stops = status == "waiting", status in {"rejected", "parked"}
    assert (len(book.due(AT, 9)), len(book.waiting(9)), len(book.stopped(9))) == (waits, waits, stops)
    book.save(replace(read, attempts=3))
    back = orders.at("WEB-1", COMPANY)
    assert back is not None
    assert (back.status, back.attempts, back.unknown, back.before) == (status, 3, entry.unknown, "1\n2")


@pytest.mark.parametrize("retryable", [True, False])
def test_dead_letters_are_shown_and_come_back(world: World, old: OldRelease, *, retryable: bool) -> None:
    """The body, the reason and the next try; that of pages and notifications is enqueued again in its time."""
    job = PageJob(run="r-1", purpose="pull", mode="delta", company=COMPANY, entity="items")
    letter = DeadLetter(queue=QUEUE_PAGES, name=job.job, body=job.to_text().encode(), reason="no", since=AT)
    kept = world.stores.dead_letters.add(letter, retryable=retryable, now=AT)
    (read,) = old.context.parked.all(10)
    assert {name: pair for name, pair in shared_members(kept, read).items() if pair[0] != pair[1]} == {}
    taken = old.context.parked.take_due(AT + timedelta(hours=1), 10)
    assert [(one.name, one.tries) for one in taken] == ([(job.job, 1)] if retryable else [])


def test_webhooks_and_request_slots_are_one_lists(world: World, old: OldRelease) -> None:
    """A webhook's note, and the lease of a request: the limit holds over both releases (P10)."""
    note = WebhookNote(company=COMPANY, entity="items", status="active", subscription_id="s", expires_at=AT, error="no")
    world.stores.notes.save(note)
    read = old.context.webhooks.load(COMPANY, "items")
    assert {name: pair for name, pair in shared_members(note, read).items() if pair[0] != pair[1]} == {}
    table, lease = world.tables.table(TABLE_CONNECTIONS), timedelta(seconds=130)
    ours = SlotRows(table, "p", instance="new", now=lambda: AT)
    assert ours.take(ours.read()[2], lease) is not None
    theirs = module("bc.slot_rows").SlotRows(OldTable(table), "p", instance="old", lease=lease, now=lambda: AT)
    assert [number for number, row in theirs.read().items() if theirs.is_free(row)] == [0, 1, 3, 4]
