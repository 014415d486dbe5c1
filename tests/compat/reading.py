"""Reads recorded rows and messages with the code of today, and says in plain words what they mean.

The only module of these tests that names the code: whoever renames or moves something there adapts it here, and leaves
the words that it returns as they are.
"""

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared.business_central.code_text import code_of
from shared.business_central.entities import ENTITIES, Entity
from shared.business_central.lease_rows import SlotRows, opens_at
from shared.business_central.records import parse_record
from shared.changes import cloud_events
from shared.changes.jobs import STORED_PURPOSES, NotificationJob, PageJob, Purpose
from shared.changes.ledger import Ledger, Look
from shared.changes.page_reader import page_ask
from shared.changes.pulled_versions import PulledVersionStore
from shared.changes.run_progress import RunStore
from shared.changes.streams import Stream, StreamState, StreamStore, stream_of
from shared.dead_letters import redrive
from shared.dead_letters.dead_letter_store import DeadLetterStore
from shared.dead_letters.reference import read_reference
from shared.errors import InvalidMessage, TokenError
from shared.login.login_state import LoginStore
from shared.login.refresh_lease import RefreshLease
from shared.login.token_cache import find_access_token, user_name
from shared.operations.page_session import PendingSignIn, state_key
from shared.operations.stores import stores_of
from shared.orders import resume
from shared.orders.order_contents import is_same_order
from shared.orders.order_entry import OrderEntry
from shared.orders.order_message import parse_message, sent_key_of
from shared.orders.order_store import OrderStore
from shared.storage.table import Row
from shared.webhooks.delivery import Target, client_state, subscription_path
from shared.webhooks.notes import WebhookNoteStore
from tests.simulation.world import World
from tests.support.memory_storage import MemoryTables
from tests.support.worlds import results

type Meaning = dict[str, Any]


@dataclass(frozen=True)
class Recorded:
    """One recorded scene: its rows in tables of today, and the rows as they were written."""

    tables: MemoryTables
    raw: dict[str, list[dict[str, Any]]]
    queues: dict[str, list[dict[str, Any]]]
    connection: str
    at: datetime
    ids: dict[str, str]

    def rows(self, table: str, prefix: str = "", part: str = "") -> list[dict[str, Any]]:
        """The rows whose key begins so, in the partition of the connection or, with `part`, one that ends so."""
        wanted = self.connection + (f"|{part}" if part else "")
        return [r for r in self.raw.get(table, []) if r["partition"] == wanted and r["key"].startswith(prefix)]

    @property
    def streams(self) -> StreamStore:
        """The streams of the connection."""
        return StreamStore(self.tables.table("BcWatermarks"), self.connection)

    @property
    def runs(self) -> RunStore:
        """The runs of the connection."""
        return RunStore(self.tables.table("BcWatermarks"), self.connection)

    @property
    def parked(self) -> DeadLetterStore:
        """The set-aside messages of the connection."""
        return DeadLetterStore(self.tables.table("BcWatermarks"), self.connection)

    @property
    def orders(self) -> OrderStore:
        """The orders of the connection."""
        return OrderStore(self.tables.table("BcOrders"), self.connection)


def load(scene: Meaning) -> Recorded:
    """Put the rows of a recorded scene into tables."""
    at = datetime.fromisoformat(scene["at"])
    return Recorded(_tables(scene["tables"]), scene["tables"], scene["queues"], scene["connection"], at, scene["ids"])


def _tables(recorded: dict[str, list[dict[str, Any]]]) -> MemoryTables:
    tables = MemoryTables()
    for name, rows in recorded.items():
        for row in rows:
            values = {prop: _value(value) for prop, value in row["values"].items()}
            tables.table(name).insert(Row(partition=row["partition"], key=row["key"], values=values))
    return tables


def _value(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value["type"] == "datetime":
        return datetime.fromisoformat(value["value"])
    assert value["type"] == "bytes"
    return base64.b64decode(value["value"])


def _time(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat()


def meaning(scene: Meaning) -> Meaning:
    """What the rows of a scene say, as far as it has such rows; each question is asked of fresh tables."""
    questions: dict[str, Callable[[Recorded], Meaning]] = {
        "orders": order_meaning,
        "streams": stream_meaning,
        "in flight": flight_meaning,
        "records": record_meaning,
        "pulled": pulled_meaning,
        "set aside": parked_meaning,
        "webhooks": webhook_meaning,
        "connection": connection_meaning,
    }
    found = {name: ask(load(scene)) for name, ask in questions.items()}
    return {name: said for name, said in found.items() if said}


# -- orders


def order_meaning(held: Recorded) -> Meaning:
    """How far each order is, which are due, wait or are stopped, and what a person can put back."""
    book, found = held.orders, {}
    for row in held.rows("BcOrders", "order|"):
        key, company = row["values"]["key"], row["values"]["company"]
        entry = book.at(key, company)
        assert entry is not None
        assert book.load(_key_of(entry), company) == entry
        assert entry in book.find(_key_of(entry))
        found[f"{key} in {company or 'no company'}"] = {
            "status": entry.status,
            "number": entry.number,
            "order id": entry.order_id,
            "posts sent": entry.attempts,
            "waits": entry.waits,
            "may be in Business Central": entry.unknown or (entry.status == "posting" and entry.posted_at is not None),
            "first at": _time(entry.first_at),
            "posted at": _time(entry.posted_at),
            "next try at": _time(entry.next_try_at),
            "held by": entry.worker,
            "held until": _time(entry.lease_until),
            "error": [entry.error_code, entry.error],
            "correlation id": entry.correlation_id,
            "numbers of others": entry.before.split("\n") if entry.before else [],
            "external number": entry.external_number,
            "result went to": entry.reported_to,
            "its message is this order": _is_same(entry),
        }
    if not found:
        return {}
    hour = held.at + timedelta(hours=1)
    return {
        "orders": found,
        "due": [[entry.key, entry.company] for entry in book.due(held.at, 100)],
        "due in an hour": [[entry.key, entry.company] for entry in book.due(hour, 100)],
        "waiting": sorted(entry.key for entry in book.waiting(100)),
        "stopped": sorted(entry.key for entry in book.stopped(100)),
        "counts": book.counts(1000),
    }


def _key_of(entry: OrderEntry) -> str:
    """The key as its sender's next message would be looked up."""
    return code_of(sent_key_of(entry.message.decode(), entry.key))


def _is_same(entry: OrderEntry) -> bool | None:
    """Say whether the stored message still counts as the stored order; None for one that never was an order."""
    if not entry.digest:
        return None
    return is_same_order(entry, parse_message(entry.message.decode(), message_id=entry.key))


def messages_put_back(held: Recorded) -> list[list[str]]:
    """Orders that the timer puts back to work: key and company."""
    world = _world(held)
    return [_order_reference(text) for text in resume.due(world.stores.orders, world.ctx.now()).resumes]


def result_of_a_late_copy(held: Recorded, message: str) -> list[Meaning]:
    """What a copy of an order's message is answered with, when the order was recorded as created."""
    world = _world(held)
    world.queues.put("sales-orders", message, world.clock.now())
    world.drain()
    return results(world)


def redriven_order(held: Recorded, key: str) -> list[list[str]]:
    """What a person's redrive of an order puts back to work."""
    return [_order_reference(text) for text in resume.redrive(_world(held).stores.orders, key)[1].resumes]


def _order_reference(text: str) -> list[str]:
    place = json.loads(text)
    return [place["orderKey"], place["company"]]


def _world(held: Recorded) -> World:
    """A process at work on the recorded rows."""
    world = World(demo_data=False, env={"BC_COMPANIES": "CRONUS International Ltd."})
    assert world.settings.connection == held.connection
    assert world.bc.company().id == held.ids["company"]
    world.tables = held.tables
    world.stores = stores_of(world.tables, world.claim_checks, world.settings.connection)
    world.hosts = [world.new_process() for _ in world.hosts]
    world.clock.set(held.at)
    return world


# -- streams, runs and messages in flight


def stream_meaning(held: Recorded) -> Meaning:
    """What each stream has read and how its run is."""
    found = {}
    for row in held.rows("BcWatermarks", "stream|"):
        values = row["values"]
        stream = Stream(_PURPOSES[values["purpose"]], values["company"], values["entity"])
        state = held.streams.load(stream)
        found[f"{values['purpose']} {stream.entity}"] = {
            "complete up to": _time(state.watermark),
            "news from": _time(state.watch_from),
            "listing in force": state.snapshot,
            "run": [state.run, state.mode, state.partitions],
            "planned at": _time(state.planned_at),
            "ended at": _time(state.ended_at),
            "is alive": _is_alive(held, state, held.at),
            "is alive in a quarter of an hour": _is_alive(held, state, held.at + timedelta(minutes=15)),
            "complete": [state.done_run, _time(state.done_at), state.rows],
            "dead": [run for run in values["dead"].split("\n") if run and held.streams.is_superseded(state, run)],
            "wanted again": state.again,
            "left out": state.broken,
            "error": [state.error, _time(state.ended_at if state.error else None)],
        }
    assert {f"{STORED_PURPOSES[state.stream.purpose]} {state.stream.entity}" for state in held.streams.all()} == set(
        found
    )
    return found


def _is_alive(held: Recorded, state: StreamState, at: datetime) -> bool:
    return state.is_under_way and held.runs.standing(state, at).is_alive


_PURPOSES: dict[str, Purpose] = {stored: purpose for purpose, stored in STORED_PURPOSES.items()}


def flight_meaning(held: Recorded) -> Meaning:
    """What may be done with the page jobs that were on the queue: by their own message, and by a copy of it."""
    found = {}
    for message in held.queues.get("bc-pages", []):
        job = PageJob.from_text(message["text"])
        if job.phase in {"records", "expanded"}:
            state = held.streams.load(stream_of(job))
            copy = held.runs.take_page(job, "another-message", held.at) if message["deliveries"] else None
            own = held.runs.take_page(job, message["id"], held.at)
            held.runs.let_go(job, message["id"], held.at)  # nothing of it is redriven while it is at work
            found[job.job] = {
                "is of the newest run": state.run == job.run,
                "its own message": own.name,
                "a copy": copy.name if copy else "not asked",
                "a redrive": held.runs.take_page(PageJob.from_text(_redriven(message["text"])), "m", held.at).name,
            }
    return found


def _redriven(text: str) -> str:
    return json.dumps({**json.loads(text), "redrive": 9})


# -- records


def record_meaning(held: Recorded) -> Meaning:
    """What would be told of named records now, what jobs have claimed, and what a compare of listings finds."""
    found: Meaning = {}
    for entity in ENTITIES.values():
        rows = held.rows("BcRecords", "", f"{held.ids.get('company', '')}|{entity.name}")
        if not rows:
            continue
        said: Meaning = {"claimed by a job": {}, "told again by the job that told it": {}, "told by another job": {}}
        for row in rows:
            kind, _, job = row["key"].partition("|")
            if kind == "j":
                said["claimed by a job"][job] = list(_ledger(held, entity).claims(job).ids)
            elif kind == "r":
                key, again = row["values"]["record"], {}
                for job in sorted({row["values"][name] for name in ("created_by", "posted_by", "deleted_by")} - {""}):
                    again[job] = _news(held, entity, key, job, "Paid", row["values"]["version_at"] or _LONG_AGO)
                said["told again by the job that told it"][key] = again
        for name, key in held.ids.items():
            if name.startswith("number_of_") or _NOUNS.get(name.partition("_")[0], "items") != entity.name:
                continue
            numbers = {"": "ANOTHER", " under its old number": held.ids.get(f"number_of_{name}", "")}
            said["told by another job"][name] = {
                f"{status or 'found'}{under}, changed {'now' if at == _NOW else 'long ago'}": _news(
                    held, entity, key, "another-job", status, at, number
                )
                for under, number in numbers.items()
                if number
                for status in (("Draft", "Open", "Paid") if entity.posts else ("",))
                for at in (_LONG_AGO, _NOW)
            }
        listings = {int(row["key"].split("|")[1]) for row in rows if row["key"].startswith("b|")}
        if listings:
            came, went = zip(*_ledger(held, entity).differences(max(listings)), strict=True)
            said["newest listing"] = {"number": max(listings), "came": _flat(came), "went": _flat(went)}
        found[entity.name] = said
    return found


_LONG_AGO, _NOW = "2026-02-11T08:00:00Z", "2026-03-11T08:00:00Z"
_NOUNS = {"invoice": "salesInvoices", "shipment": "salesShipments", "company": ""}


def is_known_version(held: Recorded, event: Meaning) -> bool:
    """Say whether the version of the record that an event holds is told already: another job has no news of it."""
    entity = _entity_of(event)
    told = _ledger(held, entity).announce(
        [parse_record(json.dumps(event["data"]).encode())],
        Look(job="another-job", changes=frozenset({"updated"}), watch_from=None),
    )
    return not told


def _entity_of(event: Meaning) -> Entity:
    return next(entity for entity in ENTITIES.values() if entity.event == event["type"].split(".")[1])


def _flat(buckets: Iterable[list[str]]) -> list[str]:
    return sorted(key for bucket in buckets for key in bucket)


def _ledger(held: Recorded, entity: Entity) -> Ledger:
    """The ledger of the first company on tables of its own, so that nothing that is asked changes the recorded rows."""
    company = held.ids["company"]
    tables = _tables({"BcRecords": held.raw["BcRecords"]})
    snapshot = held.streams.load(Stream("snapshot", company, entity.name)).snapshot
    return Ledger(tables.table("BcRecords"), held.connection, company, entity, snapshot)


def _news(
    held: Recorded, entity: Entity, key: str, job: str, status: str, at: str, number: str = "ANOTHER"
) -> list[str]:
    """What a job would tell of a record that it finds in this state, and whether it would tell that it is gone."""
    fields = {"id": key, "number": number, "status": status, "lastModifiedDateTime": at}
    told = _ledger(held, entity).announce(
        [parse_record(json.dumps(fields).encode())],
        Look(
            job=job,
            changes=frozenset({"created", "updated", "deleted"}),
            looked_for=frozenset({key}),
            watch_from=held.streams.load(Stream("reconcile", held.ids["company"], entity.name)).watch_from,
        ),
    )
    gone = _ledger(held, entity).announce_deleted(key, job=job)
    return [note.change for note in told] + (["or deleted"] if gone else [])


def pulled_meaning(held: Recorded) -> Meaning:
    """What each page of the pull has told, and how many versions the next delta will not tell again."""
    company, found = held.ids.get("company", ""), {}
    book = PulledVersionStore(held.tables.table("BcRecords"), held.connection, company, "items")
    for row in held.rows("BcRecords", "", f"{company}|items|seen"):
        claims = book.claims(row["key"])
        assert claims is not None
        run = row["key"].partition("-")[0]
        found[row["key"]] = {"told": list(claims.ids), "versions known of its run": len(book.load([run], but=""))}
    return found


# -- messages set aside


def parked_meaning(held: Recorded) -> Meaning:
    """What is set aside and why, what comes back by itself, and what a person's redrive puts on the queue."""
    kept = held.parked.all(100)
    done = [row["key"].split("|", 1) for row in held.rows("BcWatermarks", "", "parked-done")]
    if not kept and not done:
        return {}
    found: Meaning = {
        "kept": {
            f"{message.queue} {message.name}": {
                "reason": message.reason,
                "body": message.body.decode(),
                "since": _time(message.since),
                "tries": message.tries,
                "next try at": _time(message.next_try_at),
            }
            for message in kept
        },
        "worked off": {f"{queue} {name}": held.parked.tries(queue, name) for queue, name in done},
        "redriven": {},
    }
    world = _world(held)
    world.clock.advance(timedelta(minutes=10))
    back = redrive.retry_due(world.ctx, world.stores.dead_letters)
    found["comes back in ten minutes"] = _put_back(world, back)
    for message in kept:
        outgoing = redrive.redrive(world.ctx, world.stores.dead_letters, message.queue, message.name)
        found["redriven"][f"{message.queue} {message.name}"] = None if outgoing is None else _put_back(world, outgoing)
    return found


def _put_back(world: World, outgoing: Any) -> list[list[object]]:
    pages = [PageJob.from_text(text) for text in outgoing.pages]
    jobs: list[PageJob | NotificationJob] = [
        *pages,
        *(NotificationJob.from_text(text) for text in outgoing.notifications),
    ]
    return [[job.job, job.redrive] for job in jobs] + [_order_put_back(world, text) for text in outgoing.resumes]


def _order_put_back(world: World, text: str) -> list[object]:
    """The key of an order whose message was put back, which 0.1.0 wrote out and this release refers to."""
    reference = read_reference("sales-orders-resume", text.encode())
    assert reference is not None
    letter = world.stores.dead_letters.get(reference.queue, reference.name)
    assert letter is not None
    return [code_of(sent_key_of(letter.body.decode(), letter.name)), 0]


# -- webhooks and the connection


def webhook_meaning(held: Recorded) -> Meaning:
    """The state of each webhook."""
    book, found = WebhookNoteStore(held.tables.table("BcSubscriptions"), held.connection), {}
    for row in held.rows("BcSubscriptions"):
        note = book.load(row["values"]["company"], row["values"]["entity"])
        assert note is not None
        found[f"{note.company} {note.entity}"] = [note.status, note.subscription_id, _time(note.expires_at), note.error]
    assert len(book.all()) == len(found)
    return found


def connection_meaning(held: Recorded) -> Meaning:
    """The login, who may refresh, who may ask Business Central when, and the sign-ins under way."""
    if not held.rows("BcConnections"):
        return {}
    table = held.tables.table("BcConnections")
    login = LoginStore(table, held.connection, lambda: held.at).read()
    slots: Meaning = {}
    for after_s in (0, 130):
        rows = _slots(held, after_s)
        slots[f"free for another process after {after_s} s"] = [
            n for n, row in rows.read().items() if rows.is_free(row)
        ]
    raw = {row["key"]: row["values"] for row in held.rows("BcConnections", "slot-")}
    sign_ins = {}
    for row in held.rows("BcConnections", "", "sign-in"):
        pending = PendingSignIn.from_values({name: _value(value) for name, value in row["values"].items()})
        assert pending is not None
        sign_ins[row["key"]] = {
            "is of its state": row["key"] == state_key(held.ids.get("state", "")),
            "is of its session": pending.is_of(held.ids.get("session", "")),
            "is of another session": pending.is_of("another"),
            "holds": sorted(pending.flow),
            "is over": [pending.is_over(held.at), pending.is_over(held.at + timedelta(minutes=10))],
        }
    return {
        "login": [login.state, login.code, login.reason, login.user, _time(login.since)],
        "may refresh": [_may_refresh(held, after_s) for after_s in (0, 85)],
        "slots": slots,
        "slots open at": {n: _time(opens_at(row)) for n, row in _slots(held, 0).read().items()},
        "slots recorded": len(raw),
        "sign-ins": sign_ins,
    }  # fmt: skip


def _slots(held: Recorded, after_s: float) -> SlotRows:
    """The request slots as another process sees them then."""
    table, now = held.tables.table("BcConnections"), held.at + timedelta(seconds=after_s)
    return SlotRows(table, held.connection, instance="new", now=lambda: now)


def _may_refresh(held: Recorded, after_s: float) -> bool:
    """Say whether another process gets the refresh lease then, without waiting for it; nothing is stored."""
    times = iter([held.at + timedelta(seconds=after_s), held.at + timedelta(seconds=after_s)])
    last = held.at + timedelta(seconds=after_s + 100)
    lease = RefreshLease(
        held.tables.table("BcConnections"), held.connection, holder="new", now=lambda: next(times, last),
        sleep=lambda _: None,
    )  # fmt: skip
    try:
        lease.take()
    except TokenError:
        return False
    lease.give_back()
    return True


# -- messages


def page_meaning(text: str) -> Meaning:
    """What a message of `bc-pages` asks for."""
    job = PageJob.from_text(text)
    world = World(demo_data=False)
    job = replace(job, row=world.ctx.catalogue.named(job.entity))
    ask = page_ask(world.ctx, job)
    return {
        "job": job.job,
        "stream": [STORED_PURPOSES[job.purpose], job.mode, job.company, job.entity],
        "place": [job.run, job.slice.number, job.page, json.loads(job.to_text())["phase"]],
        "put back": job.redrive,
        "began": job.began,
        "rows so far": job.total,
        "done at the edge": list(job.cursor.done),
        "edge": [job.cursor.linked, job.cursor.doubts],
        "asks for": {
            "what": "nested" if ask.what == "expanded" else ask.what,
            "since": _time(ask.since), "from number": ask.low, "below number": ask.high,
            "order": ask.order, "rows": ask.rows, "link": ask.link,
        },
    }  # fmt: skip


def notification_meaning(text: str) -> Meaning:
    """What a message of `bc-notifications` asks for."""
    job = NotificationJob.from_text(text)
    return {
        "job": job.job,
        "of": [job.company, job.entity],
        "changes": [[change.key, change.kind, change.at] for change in job.changes],
        "lost count": job.collection,
        "found by a compare": job.from_snapshot,
        "put back": job.redrive,
    }


def order_message_meaning(text: str) -> Meaning:
    """What a message of `sales-orders` is: a stored order to go on with, an order, or neither."""
    place = resume._old_place(resume._members(text.encode()))
    if place is not None:
        return {"goes on with": list(place)}
    try:
        request = parse_message(text, message_id="its-id")
    except InvalidMessage as error:
        return {"is refused": error.faults}
    return {
        "key": request.key, "company": request.company, "external number": request.external_number,
        "customer": request.customer_number, "posts": json.loads(request.body),
    }  # fmt: skip


def event_again(event: Meaning) -> Meaning:
    """The event as the code makes it today of the same record, whose text is the event's data."""
    entity, change = _entity_of(event), event["type"].split(".")[2]
    origin = cloud_events.Origin(event["source"], "https://app.example/api/schema?data=")
    if change == "deleted":
        text = cloud_events.deleted_event(origin, entity, event["data"]["id"], event["time"])
    else:
        text = cloud_events.change_event(origin, entity, change, parse_record(json.dumps(event["data"]).encode()))
    return dict(json.loads(text))


def subscription_again(secret: str, connection: str, company: str, entity: str) -> tuple[str, str]:
    """The last part of a webhook's URL, and its clientState."""
    path = subscription_path(secret.encode(), connection, Target(company, ENTITIES[entity]))
    return path, client_state(secret.encode(), path)


def token_meaning(cache: str, client_id: str) -> Meaning:
    """Who is signed in, and the access token held."""
    access = find_access_token(cache, client_id=client_id)
    assert access is not None
    return {
        "user": user_name(cache), "access token": access.value, "renew at": _time(access.renew_at),
        "ends at": _time(access.expires_at),
    }  # fmt: skip
