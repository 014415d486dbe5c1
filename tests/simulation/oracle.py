"""Compares what Business Central holds with what has left the app: what was lost, what was told twice, what is wrong.

Each finding is one line that starts with `lost`, `doubled` or `wrong`.
"""

import itertools
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from business_central_emulator.data.environment import Company, Event
from business_central_emulator.data.record import Record

from shared.operations import status
from tests.simulation.people import People
from tests.simulation.recorder import MARK
from tests.simulation.senders import Senders, Sent
from tests.simulation.telling import Telling, Told
from tests.simulation.world import World

#: Announced once in a record's life, whatever its version.
_ONCE = frozenset({"created", "posted", "deleted"})


class Oracle:
    """Judges one run at its end."""

    def __init__(
        self, world: World, telling: Telling, people: People, senders: Senders, companies: list[Company]
    ) -> None:
        """Take all that is to be compared; call `watch_begins` when the app has its baseline."""
        self._world = world
        self._telling = telling
        self._people = people
        self._senders = senders
        self._companies = companies
        self._changes = world.settings.changes
        self._since = 0  # events of BC's history before the watch
        self.repeated = 0  # told again under the same id after a crash
        self.was_lagging: Callable[[datetime], bool] = lambda _: False
        self.findings: list[str] = []
        self.checked: Counter[str] = Counter()

    def watch_begins(self) -> None:
        """Remember where news begin."""
        self._since = len(self._world.bc.environment.history)

    def _judge_created(self) -> None:
        """Check what must have been told: P4; that it was in time the history's checker says."""
        for entity in self._world.watched:
            name = entity.name
            for record in self._news(name, "created"):
                self.checked["created"] += 1
                self._must("created", name, record)
            if entity.posts:
                for record in self._news(name, "posted"):
                    self.checked["posted"] += 1
                    self._must("posted", name, record)

    def judge(self, *, may_repeat: bool, by_hand: Counter[str]) -> None:
        """Check everything else.

        `may_repeat`: workers died or were cut off in this run; `by_hand`: how often a person put each order back.
        """
        self._telling.read()
        self._judge_created()
        self.findings += [f"wrong: {fault}" for fault in self._telling.faults]
        self._judge_too_much()
        self._judge_repeats()
        self._judge_pulled()
        if "updated" in self._changes:
            self._judge_updated()
        if "deleted" in self._changes:
            self._judge_deleted()
        self._judge_orders()
        if not may_repeat:
            self._judge_results(by_hand)
        self._judge_state()

    # -- records

    def _events(self, name: str, kind: str) -> list[Event]:
        history = self._world.bc.environment.history[self._since :]
        return [event for event in history if event.entity_set == name and event.kind == kind]

    def _news(self, name: str, kind: str) -> list[Record]:
        """Return records to which this happened since the watch began, and which still exist."""
        ids = dict.fromkeys(event.record_id for event in self._events(name, kind))
        found = (company.tables[name].get(one) for company in self._companies for one in ids)
        return [record for record in found if record is not None]

    def _must(self, change: str, name: str, record: Record) -> None:
        if not self._telling.has(change, record.id):
            self._add(f"lost: {change} of {name}({record.id}) number {record['number']} born {record.created_at}")

    def _add(self, finding: str) -> None:
        if finding not in self.findings:
            self.findings.append(finding)

    def _judge_too_much(self) -> None:
        """Nothing is told that did not happen."""
        history = self._world.bc.environment.history[self._since :]
        happened = {(event.entity_set, event.kind, event.record_id) for event in history}
        for told in self._telling.events:
            name = told.subject.partition("(")[0]
            kind = {"updated": "updated", "pulled": ""}.get(told.change, told.change)
            if told.change not in self._changes | {"pulled", "posted"}:
                self._add(f"wrong: {told.type} was not asked for")
            elif kind in _ONCE and (name, kind, told.record) not in happened:
                self._add(f"wrong: {told.change} of {told.subject} was told and did not happen since the watch began")
        for (change, record), told_all in self._telling.by_record.items():
            if change in _ONCE and len({told.event_id for told in told_all}) > 1:
                self._add(f"doubled: {change} of {record} under several ids")

    def _judge_repeats(self) -> None:
        """The same event leaves again only after a crash, out of the same job and under the same id: P5."""
        for told_all in self._telling.by_id.values():
            for before, told in itertools.pairwise(told_all):
                doubtful = {before.job, told.job} & (self._world.may_repeat | self._world.stalled)
                if doubtful and (before.job == told.job or told.change == "pulled"):
                    self.repeated += 1
                elif told.change == "pulled" and self.was_lagging(told.at):
                    self.repeated += 1  # a replica showed it, the next one did not, and then it was seen again
                elif told.change == "pulled" and not self._was_complete(told_all[0].job, told.at):
                    self.repeated += 1  # the run died or was given up, and another one has begun anew
                else:
                    self._add(f"doubled: {told.type} {told.subject} by {before.job} and {told.job} at {told.at}")

    def _was_complete(self, job: str, at: datetime) -> bool:
        done = self._world.done_runs.get(job.partition("-")[0])
        return done is not None and done < at

    def _judge_pulled(self) -> None:
        for company in self._companies:
            for item in company.tables["items"]:
                self.checked["pulled"] += 1
                variants = company.tables["itemVariants"].where("itemId", item.id)
                version = (item.etag(), *sorted(variant.etag() for variant in variants))
                newest = max(row["lastModifiedDateTime"] for row in (item, *variants))
                if self.was_lagging(newest):
                    continue  # the checker counts those that nothing told of
                if version not in {told.tags for told in self._readable("pulled", item.id)}:
                    self._add(f"lost: last version of items({item.id}) number {item['number']} was not pulled")

    def _judge_updated(self) -> None:
        for name in (entity.name for entity in self._world.watched):
            for record in self._news(name, "updated"):
                self.checked["updated"] += 1
                if self.was_lagging(record["lastModifiedDateTime"]):
                    continue
                told = [one for kind in ("created", "posted", "updated") for one in self._readable(kind, record.id)]
                if record.etag() not in {one.tags[0] for one in told}:
                    self._add(f"lost: last change of {name}({record.id}) number {record['number']}")

    def _judge_deleted(self) -> None:
        for name in (entity.name for entity in self._world.watched):
            for event in self._events(name, "deleted"):
                was_known = self._telling.has("created", event.record_id) or self._is_old(event)
                if was_known:
                    self.checked["deleted"] += 1
                if was_known and not self._telling.has("deleted", event.record_id):
                    self._add(f"lost: deleted of {name}({event.record_id}) at {event.at}")

    def _is_old(self, event: Event) -> bool:
        """Say whether a record was there before the watch."""
        history = self._world.bc.environment.history[: self._since]
        return any(one.record_id == event.record_id and one.kind == "created" for one in history)

    def _readable(self, change: str, record: str) -> list[Told]:
        return list(self._telling.by_record.get((change, record), ()))

    # -- orders

    def _judge_orders(self) -> None:
        told = {
            (result["company"], result["number"]) for results in self._telling.results.values() for result in results
        }
        owner = {sent.mark: sent for sent in self._senders.sent}
        for company in self._companies:
            for order in company.tables["salesOrders"]:
                sent = owner.get(order[MARK])
                if sent is None or (company.id, order["number"]) in told:
                    continue
                results = self._results_of(sent)
                if not any(result["status"] == "parked" for result in results) and not self._waits(sent):
                    self._add(f"wrong: order {order['number']} of {sent.key} is in BC and no result tells of it")
        there = {
            (company.id, order["number"]) for company in self._companies for order in company.tables["salesOrders"]
        }
        there |= {(company_id, number) for company_id, _, number in self._people.gone_orders}
        for sent in self._senders.sent:
            self.checked["orders"] += 1
            self._judge_order(sent, there)

    def _waits(self, sent: Sent) -> bool:
        """Say whether an order waits still whose number others use, so that a person is asked after 72 hours."""
        story = status.order_story(self._world.stores.orders, sent.spelling)
        return sent.fate == "either" and any(one["status"] == "waiting" for one in story)

    def _results_of(self, sent: Sent) -> list[dict[str, Any]]:
        results = self._telling.results.get(sent.key, [])
        return [result for result in results if result["company"] in {sent.company, ""}]

    def _judge_results(self, by_hand: Counter[str]) -> None:
        """Every message brings a result, and without a crash one; a redrive by hand brings each of them one more."""
        for key in {sent.key for sent in self._senders.sent}:
            sent = sum(one.messages for one in self._senders.sent if one.key == key)
            told, most = len(self._telling.results.get(key, [])), sent * (1 + by_hand[key])
            waits = any(self._waits(one) for one in self._senders.sent if one.key == key)
            if told < sent and not waits:
                self._add(f"lost: {told} results of order {key}, of which {sent} messages were sent")
            if told > most:
                self._add(f"doubled: {told} results of order {key}, of which {most} messages were sent")

    def _judge_order(self, sent: Sent, there: set[tuple[str, str]]) -> None:
        results = self._results_of(sent)
        if not results and self._waits(sent):
            return
        if not results:
            self._add(f"lost: order {sent.key} has no result ({sent.fate} expected)")
            return
        created = {result["number"] for result in results if result["status"] == "created"}
        for number in created:
            if (sent.company, number) not in there:
                self._add(f"wrong: order {sent.key} is told as {number}, which BC does not have")
        if sent.fate == "created" and not created:
            self._add(f"lost: order {sent.key} ended as {results[-1]['status']}: {results[-1]['error']}")
        if sent.fate == "rejected" and created:
            self._add(f"wrong: order {sent.key} should have been refused and was created")
        if sent.fate == "rejected" and results[-1]["status"] != "rejected":
            self._add(f"lost: order {sent.key} ended as {results[-1]['status']}")
        if sent.fate == "created" and any(one["status"] == "rejected" for one in results):
            self._add(f"wrong: order {sent.key} was told as rejected and as created")

    # -- state

    def _judge_state(self) -> None:
        world = self._world
        for queue in world.worked_queues():
            if world.queues.waiting(queue):
                self._add(f"lost: {world.queues.waiting(queue)} messages are left in {queue}")
        now = world.clock.now()
        for state in world.stores.changes.streams.all():
            if state.watermark is not None and state.watermark > now:
                self._add(f"wrong: watermark of {state.stream.key} is ahead of BC's time")
            if state.run and state.ended_at is None:
                self._add(f"wrong: run {state.run} of {state.stream.key} never ended")
        for text in dict.fromkeys(world.raised or ()):
            self._add(f"wrong: {text}")
        if world.refused:
            self._add(f"wrong: the webhook route answered {sorted(set(world.refused))}, after which BC forgets it")
        parked = world.stores.dead_letters.all(1000)
        if parked:
            self._add(f"lost: {len(parked)} messages are still set aside, the first: {parked[0].reason}")
        wanted = len(self._companies) * len(world.watched)
        held = Counter(row["resource"] for row in world.bc.environment.subscriptions)
        if len(held) != wanted or any(count > 1 for count in held.values()):
            self._add(f"wrong: {wanted} webhooks are wanted and BC holds {dict(held)}")

    def results(self) -> Counter[str]:
        """Return how the orders ended."""
        return Counter(results[-1]["status"] for results in self._telling.results.values() if results)
