"""The records behind notifications: read back in groups, announced once whoever else does, never believed unread."""

import json
from datetime import timedelta

import pytest
from business_central_emulator import Fault, FaultKind, Tamper, TamperKind
from business_central_emulator.data.record import Record

from shared.changes import plan_runs
from shared.changes.jobs import NotificationJob, RecordChange
from shared.changes.notification_job import process
from shared.errors import BCUnavailable
from shared.resource_names import QUEUE_NOTIFICATIONS, QUEUE_PAGES
from tests.simulation.world import World
from tests.support.worlds import announced, events, notify, requests_made, restart, small_world, subject

CRONUS = "CRONUS International Ltd."


def world_of(**env: str) -> World:
    """A started world of one company, a minute after its start, with something to sell."""
    world = small_world(env={"BC_COMPANIES": CRONUS, **env})
    world.bc.user.create_item(number="PRK-1001", displayName="Parka", unitPrice=5)
    world.run_for(timedelta(minutes=30))
    world.left.clear()
    return world


def created(world: World, *records: Record) -> dict[tuple[str, str], int]:
    """What must have been announced of new records."""
    return {(f"{record.entity.type_name}.created", subject(record)): 1 for record in records}


def test_a_new_item_is_announced_with_its_variants() -> None:
    """BC tells an id; the event holds the whole record."""
    world = world_of()
    item = world.bc.user.create_item(displayName="Fresh")
    world.bc.user.create_variant(item, "RED")
    notify(world)
    (event,) = events(world)
    assert announced(world) == created(world, item)
    assert event["data"]["displayName"] == "Fresh"
    assert [variant["code"] for variant in event["data"]["itemVariants"]] == ["RED"]


def test_a_notification_without_a_time_is_read_like_any_other() -> None:
    """Year 1 is how Business Central writes none."""
    world = world_of()
    item = world.bc.user.create_item()
    change = RecordChange(key=item.id, kind="created", at="0001-01-01T00:00:00Z")
    job = NotificationJob(job="j1", company=world.bc.company().id, entity="items", changes=(change,))
    world.queues.put(QUEUE_NOTIFICATIONS, job.to_text(), world.clock.now())
    world.drain()
    assert announced(world) == created(world, item)


def test_a_new_shipment_and_invoice_are_announced_with_their_lines() -> None:
    """Each with its lines inside, and an invoice made by posting an order as created and posted."""
    world = world_of()
    shipment = world.bc.user.create_shipment()
    posted = world.bc.user.post_order(world.bc.user.create_order())
    draft = world.bc.user.create_invoice()
    notify(world)
    assert posted.shipment is not None
    assert posted.invoice is not None
    assert announced(world, "sales") == {
        **created(world, shipment, posted.shipment, posted.invoice, draft),
        ("salesInvoice.posted", subject(posted.invoice)): 1,
    }
    lines = [event["data"].get("salesShipmentLines") or event["data"]["salesInvoiceLines"] for event in events(world)]
    assert all(lines)
    world.bc.user.post_invoice(draft)
    notify(world)
    assert announced(world)["salesInvoice.posted", subject(draft)] == 1


@pytest.mark.parametrize(
    ("setting", "noun", "nested"),
    [
        ("BC_PULL_ITEM_VARIANTS", "item", "itemVariants"),
        ("BC_PULL_SALES_SHIPMENT_LINES", "salesShipment", "salesShipmentLines"),
        ("BC_PULL_SALES_INVOICE_LINES", "salesInvoice", "salesInvoiceLines"),
    ],
)
def test_an_option_that_is_off_leaves_its_lines_out(setting: str, noun: str, nested: str) -> None:
    """Each of the three options is on its own."""
    world = world_of(**{setting: "false"})
    world.bc.user.create_item(displayName="x")
    world.bc.user.create_shipment()
    world.bc.user.create_invoice()
    notify(world)
    found = {event["type"].split(".")[1]: set(event["data"]) for event in events(world)}
    assert nested not in found[noun]
    assert sum(any(name in data for name in ("itemVariants", "salesShipmentLines", "salesInvoiceLines"))
               for data in found.values()) == 2  # fmt: skip


def test_many_records_are_read_in_groups() -> None:
    """A thousand notifications cost ten reads and ten messages, not a thousand (P2)."""
    world = world_of()
    made = [world.bc.user.create_item(displayName="x") for _ in range(1000)]
    before = requests_made(world)
    notify(world)
    assert announced(world) == created(world, *made)
    assert requests_made(world) - before == 10


@pytest.mark.parametrize("kind", [TamperKind.DUPLICATE, TamperKind.REORDER, TamperKind.LOST_ANSWER, TamperKind.LATE])
def test_doubled_late_and_shuffled_deliveries_are_announced_once(kind: TamperKind) -> None:
    """Whatever the network does to notifications, each record is announced once (P5)."""
    world = world_of()
    world.bc.webhooks.tampering.rules.append(Tamper(kind=kind, times=None, delay_s=300))
    made = [world.bc.user.create_item(displayName="x") for _ in range(5)]
    for _ in range(12):
        world.clock.advance(60)
        notify(world)
    world.bc.webhooks.tampering.rules.clear()
    world.run_for(timedelta(hours=2))
    assert announced(world, "item.created") == created(world, *made)


@pytest.mark.parametrize("kind", [TamperKind.DROP, TamperKind.DROP_ENTRIES])
def test_what_no_notification_announced_the_reconcile_does(kind: TamperKind) -> None:
    """Webhooks make it fast, the reconcile makes it true: within 15 minutes (P4)."""
    world = world_of()
    world.bc.webhooks.tampering.rules.append(Tamper(kind=kind, times=None))
    made = [world.bc.user.create_item(displayName="x") for _ in range(8)]
    world.run_for(timedelta(minutes=15))
    assert announced(world, "item.created") == created(world, *made)


def test_webhook_and_reconcile_never_tell_the_same_twice() -> None:
    """Both find it, in either order and again and again; one claims it (P5)."""
    for webhook_first in (True, False):
        world = world_of()
        item = world.bc.user.create_item(displayName="x")
        world.clock.advance(40)
        for _ in range(2):
            if webhook_first:
                notify(world)
            world.run_timer("reconcile")
            world.drain()
            notify(world)
            world.clock.advance(timedelta(minutes=15))
        assert announced(world) == created(world, item)


def test_a_record_deleted_before_it_is_read_is_announced_by_nobody() -> None:
    """Created and gone within the delay: there is nothing to announce."""
    world = world_of()
    item = world.bc.user.create_item(displayName="x")
    world.bc.user.delete(item)
    notify(world)
    world.run_for(timedelta(minutes=20))
    assert announced(world) == {}


def test_a_record_not_visible_yet_is_found_by_the_reconcile() -> None:
    """BC notified of it before a read could see it."""
    world = world_of()
    item = world.bc.user.create_item(displayName="x")
    world.bc.faults.add(Fault(kind=FaultKind.REPLICA_LAG, match="GET", times=None, window_s=600))
    notify(world)
    assert announced(world) == {}
    world.bc.faults.clear()
    world.run_for(timedelta(minutes=15))
    assert announced(world, "item.created") == created(world, item)


def test_updates_and_deletes_are_announced_when_asked_for() -> None:
    """BC_CHANGES=created,updated,deleted: each version once, and the end."""
    world = world_of(BC_CHANGES="created,updated,deleted")
    item = world.bc.user.create_item(displayName="one")
    notify(world)
    world.bc.user.update(item, {"displayName": "two"})
    notify(world)
    world.run_for(timedelta(minutes=16))
    world.bc.user.update(item, {"displayName": "three"})
    notify(world)
    world.bc.user.delete(item)
    notify(world)
    world.run_for(timedelta(minutes=16))
    assert announced(world, "item.c") + announced(world, "item.u") + announced(world, "item.d") == {
        ("item.created", subject(item)): 1, ("item.updated", subject(item)): 2, ("item.deleted", subject(item)): 1,
    }  # fmt: skip


def test_a_mass_change_notified_as_a_collection_is_read_page_by_page() -> None:
    """More than BC lists: a delta from the watermark finds every record, once (P6)."""
    world = world_of(BC_PAGE_ROWS="500")
    made = [world.bc.user.create_item(displayName="x") for _ in range(1200)]
    before = requests_made(world)
    world.clock.advance(40)
    world.deliver_webhooks()
    (message,) = world.queues.names[QUEUE_NOTIFICATIONS]
    assert json.loads(message.body)["collection"] == "filtered"
    world.drain()
    assert announced(world) == created(world, *made)
    assert requests_made(world) - before <= 1200 // 500 + 1 + 2


@pytest.mark.parametrize("changes", ["created", "created,deleted"])
def test_a_collection_with_deletes_finds_what_is_gone(changes: str) -> None:
    """A plain collection: where deletes are asked for, all ids are listed and compared."""
    world = world_of(BC_CHANGES=changes)
    old = world.bc.user.create_item(displayName="x")
    notify(world)
    world.left.clear()
    world.bc.webhooks.max_entries = 3
    made = [world.bc.user.create_item(displayName="x") for _ in range(5)]
    world.bc.user.delete(old)
    notify(world)
    gone = {("item.deleted", subject(old)): 1} if "deleted" in changes else {}
    assert announced(world) == created(world, *made) | gone


def test_news_lost_on_their_way_are_announced_again_though_a_snapshot_knows_them_by_now() -> None:
    """An invoice was posted and noted so; before the event left it was paid, and a snapshot has taken it in."""
    world = world_of(BC_TRIGGERS="salesInvoices")
    draft = world.bc.user.create_invoice()
    notify(world)
    world.bc.user.post_invoice(draft)
    world.clock.advance(40)
    world.deliver_webhooks()
    (message,) = world.queues.names[QUEUE_NOTIFICATIONS]
    world.drain()
    before = announced(world)
    world.bc.user.pay_invoice(draft)
    world.clock.advance(plan_runs.SNAPSHOT_EVERY)
    world.run_timer("reconcile")
    world.drain()
    assert announced(world) == before
    world.left.clear()
    world.queues.put(QUEUE_NOTIFICATIONS, message.body, world.clock.now())
    world.drain()
    assert [event["type"] for event in events(world)] == ["bc.salesInvoice.posted.v1"]


def test_snapshots_keep_their_distance_and_none_is_forgotten() -> None:
    """What a snapshot found may be delivered again after ten minutes, by the snapshot before; the next waits for it."""
    world = world_of(BC_CHANGES="created,deleted")
    one, other, kept = (world.bc.user.create_item(displayName="x") for _ in range(3))
    notify(world)
    world.left.clear()
    world.bc.webhooks.max_entries = 1  # two changes are a collection, which does not say what was deleted
    for item in (one, other):
        world.bc.user.delete(item)
        world.bc.user.update(kept, {"displayName": item.id})
        notify(world)
    assert announced(world) == {("item.deleted", subject(one)): 1}
    world.clock.advance(plan_runs.SNAPSHOT_REST)
    world.run_timer("reconcile")
    world.drain()
    assert announced(world) == {("item.deleted", subject(item)): 1 for item in (one, other)}


def test_a_collection_during_a_running_delta_starts_another_after_it() -> None:
    """The run under way may have passed the changes already."""
    world = world_of()
    world.bc.webhooks.max_entries = 3
    world.run_timer("reconcile")
    while world.queues.waiting(QUEUE_PAGES) > 1:
        world.step(QUEUE_PAGES)
    made = [world.bc.user.create_item(displayName="x") for _ in range(5)]
    notify(world)
    world.drain()
    assert announced(world) == created(world, *made)


def test_one_broken_record_costs_only_itself() -> None:
    """BC can't serve one of the group: it is halved until that one is alone (P13)."""
    world = world_of()
    made = [world.bc.user.create_item(displayName="x") for _ in range(30)]
    world.bc.faults.broken[made[7].id] = "500"
    notify(world)
    assert announced(world) == created(world, *(item for item in made if item is not made[7]))
    assert world.queues.waiting(QUEUE_NOTIFICATIONS) == 0


def test_an_outage_leaves_the_job_to_the_queue() -> None:
    """Nothing is announced, nothing is lost, and the records come with a later delivery."""
    world = world_of()
    item = world.bc.user.create_item(displayName="x")
    world.bc.faults.add(Fault(kind=FaultKind.UNAVAILABLE, times=None))
    notify(world)
    assert world.queues.waiting(QUEUE_NOTIFICATIONS) == 1
    world.bc.faults.clear()
    world.clock.advance(60)
    world.drain()
    assert announced(world) == created(world, item)


def test_an_outage_longer_than_the_queue_is_waited_out_aside() -> None:
    """After five deliveries the job is set aside, and put back by itself until BC is there again."""
    world = world_of()
    item = world.bc.user.create_item(displayName="x")
    world.bc.faults.add(Fault(kind=FaultKind.UNAVAILABLE, match="items\\?", times=None))
    notify(world)
    for _ in range(8):
        world.clock.advance(60)
        world.drain()
    assert [message.queue for message in world.stores.dead_letters.all(10)] == [QUEUE_NOTIFICATIONS]
    world.bc.faults.clear()
    for _ in range(40):
        world.clock.advance(60)
        world.run_timer("retry_sales_orders")
        world.drain()
    assert announced(world) == created(world, item)
    assert world.stores.dead_letters.all(10) == []


def test_the_same_job_delivered_again_tells_the_same_under_the_same_ids() -> None:
    """Its message came back after its outputs were written."""
    world = world_of()
    world.bc.user.create_item(displayName="x")
    world.clock.advance(40)
    world.deliver_webhooks()
    job = NotificationJob.from_text(world.queues.names[QUEUE_NOTIFICATIONS][0].body)
    first, second = process(world.ctx, world.stores.changes, job), process(world.ctx, world.stores.changes, job)
    assert first.events == second.events != ()
    other = NotificationJob(job="another", company=job.company, entity=job.entity, changes=job.changes)
    assert process(world.ctx, world.stores.changes, other).events == ()


@pytest.mark.parametrize("env", [{"BC_TRIGGERS": "salesInvoices"}, {"BC_COMPANIES": "My Company"}])
def test_jobs_about_what_is_no_longer_watched_are_dropped(env: dict[str, str]) -> None:
    """Settings changed while messages were in the queue."""
    world = world_of()
    world.bc.user.create_item(displayName="x")
    world.clock.advance(40)
    world.deliver_webhooks()
    restart(world, **env)
    world.drain()
    assert announced(world) == {}
    assert world.queues.waiting(QUEUE_NOTIFICATIONS) == 0


def test_before_the_first_snapshot_only_what_bc_calls_created_is_announced() -> None:
    """Nobody can know yet which records are old, so an update announces nothing."""
    world = World(demo_data=False, env={"BC_COMPANIES": CRONUS, "BC_CHANGES": "created,updated"})
    old, new = (world.bc.user.create_item(displayName=name) for name in ("old", "new"))
    job = NotificationJob(
        job="j", company=world.bc.company().id, entity="items",
        changes=(RecordChange(key=old.id, kind="updated"), RecordChange(key=new.id, kind="created")),
    )  # fmt: skip
    world.leave(process(world.ctx, world.stores.changes, job))
    assert announced(world) == created(world, new)


def test_a_company_that_is_gone_fails_the_job_and_not_the_app() -> None:
    """404 for the company is no broken record: the job goes back to the queue, and is set aside in the end."""
    world = small_world()
    mine = world.bc.company("My Company")
    world.bc.user.create_item(company=mine.id, displayName="x")
    world.clock.advance(40)
    world.deliver_webhooks()
    del world.bc.environment.companies[mine.id]
    for _ in range(8):
        world.drain()
        world.clock.advance(60)
    assert len(world.stores.dead_letters.all(10)) <= 1
    assert world.queues.waiting(QUEUE_NOTIFICATIONS) == 0


def test_an_unreachable_bc_is_the_queues_to_wait_for() -> None:
    """The use case raises what is transient, so that the message is not acknowledged."""
    world = world_of()
    world.bc.faults.add(Fault(kind=FaultKind.RESET_BEFORE, times=None))
    job = NotificationJob(
        job="j", company=world.bc.company().id, entity="items",
        changes=(RecordChange(key="7b1c4a52-91d3-f011-8d4c-6045bd1a2c10", kind="created"),),
    )  # fmt: skip
    with pytest.raises(BCUnavailable):
        process(world.ctx, world.stores.changes, job)
