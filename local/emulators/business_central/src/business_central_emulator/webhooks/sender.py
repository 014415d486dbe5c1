"""The webhook sender: what BC's triggers record and what its job APIWEBHOOK makes of it, as read in the AL source.

A trigger writes one notification per matching subscription and schedules a job 30 s after the *first* change. The job
aggregates per subscription (merge, collapse to `collection` at the 1001st entry), sends one POST per notification URL,
and on failure keeps the entries with an attempt number and a time. Sending is a callable given by the caller; the
class holds data only. Behaviour: codeunits 6153 and 6154 (APIWebhookNotificationMgt, APIWebhookNotificationSend).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from business_central_emulator.data.environment import Company, Environment
from business_central_emulator.data.record import Record
from business_central_emulator.data.store import Change
from business_central_emulator.data.values import format_datetime
from business_central_emulator.server.exchange import Post
from business_central_emulator.webhooks.subscriptions import Subscriptions, target_of
from business_central_emulator.webhooks.tampering import Tampering

MAX_ENTRIES: Final = 1000  # ApiSubscriptionMaxNumberOfNotifications
MAX_STORED: Final = 1_000_000
MAX_ATTEMPTS: Final = 5
NULL_UPDATE: Final = timedelta(seconds=2)
SQL_ROUNDING: Final = timedelta(milliseconds=50)
_RANK: Final = {"created": 0, "updated": 1, "deleted": 2, "collection": 3}
#: Seconds until the next try, by the attempts that failed; every further one waits the last.
RETRY_DELAYS_S: Final = (60, 60, 60, 600, 6000, 60_000)


@dataclass(frozen=True, slots=True)
class Entry:
    """One recorded or aggregated change of one subscription."""

    key: str  # id of the record; "" on a collection
    kind: str
    at: datetime
    seq: int  # ties are sent in the order they were recorded
    attempt: int = 0
    due: datetime | None = None  # when a failed entry is to be tried again
    first_at: datetime | None = None  # on a collection: filter from here; None = plain URL

    @property
    def rank(self) -> tuple[datetime, int, int]:
        """Return what entries are sent by: time, then kind, then arrival."""
        return self.at, _RANK[self.kind], self.seq


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of `webhookLogs` (Activity Log, context APIWEBHOOK)."""

    at: datetime
    company_id: str
    failed: bool
    message: str
    details: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notification POST that was made, for the oracle."""

    at: datetime
    url: str
    entries: int
    status: int | None


@dataclass(slots=True)
class _Queue:
    """What one company has waiting."""

    rows: dict[str, list[Entry]] = field(default_factory=dict)  # recorded since the last run, by subscription
    pending: dict[str, list[Entry]] = field(default_factory=dict)  # aggregated and not yet accepted
    jobs: list[datetime] = field(default_factory=list)


class Webhooks:
    """Recorded changes, jobs and deliveries of one environment."""

    def __init__(self, environment: Environment, subscriptions: Subscriptions, *, delay_s: float = 30.0) -> None:
        self._environment = environment
        self._subscriptions = subscriptions
        self.delay = timedelta(seconds=delay_s)
        self.max_entries = MAX_ENTRIES
        self.max_stored = MAX_STORED
        self.time_scale = delay_s / 30.0  # retries are shortened along with the delay
        self.tampering = Tampering(environment.ids.random)
        self.log: list[LogLine] = []
        self.deliveries: list[Delivery] = []
        self._queues: dict[str, _Queue] = {}
        self._stored = 0
        self._seq = 0

    def record(self, changes: Iterable[Change], *, can_schedule: bool = True) -> None:
        """Note committed changes for the subscriptions that match, and schedule the job.

        With `can_schedule=False` (a user without job-queue permission) they wait for a capable user's change.
        """
        now = self._environment.now()
        matching = self._matching(now)
        for change in changes:
            subscriptions = matching.get((change.company_id, change.entity_set), ())
            queue = self._queues.setdefault(change.company_id, _Queue())
            for subscription_id in subscriptions:
                if self._stored > self.max_stored:
                    break
                self._seq += 1
                self._stored += 1
                entry = Entry(change.record_id, change.kind, change.at, self._seq)
                queue.rows.setdefault(subscription_id, []).append(entry)
            if subscriptions and can_schedule:
                self._schedule(queue, change.at)

    def due(self, now: datetime) -> list[str]:
        """Return the ids of the companies that have a job to run."""
        return [company_id for company_id, queue in self._queues.items() if any(job <= now for job in queue.jobs)]

    def next_due(self) -> datetime | None:
        """Return when the next job or held-back delivery is due, or None."""
        jobs = [job for queue in self._queues.values() for job in queue.jobs]
        held = self.tampering.next_due()
        return min([*jobs, *([held] if held else [])], default=None)

    def run(self, post: Post) -> int:
        """Run every due job, sending through `post`; return the number of POSTs made."""
        now = self._environment.now()
        sent = self.tampering.release(now)
        for company_id in self.due(now):
            queue = self._queues[company_id]
            queue.jobs = [job for job in queue.jobs if job > now]
            sent += self._run_company(self._environment.companies[company_id], queue, now, post)
        return sent

    def waiting(self) -> int:
        """Return how many changes are recorded or kept for a retry."""
        return sum(
            len(entries)
            for queue in self._queues.values()
            for entries in (*queue.rows.values(), *queue.pending.values())
        )

    def forget_everything(self) -> None:
        """Drop all recorded changes, retries and jobs (environment copy)."""
        self._queues.clear()
        self._stored = 0

    def forget(self, subscription_ids: Iterable[str]) -> None:
        """Drop what waits for some subscriptions."""
        for subscription_id in subscription_ids:
            for queue in self._queues.values():
                self._stored -= len(queue.rows.pop(subscription_id, ()))
                queue.pending.pop(subscription_id, None)

    # -- the job -----------------------------------------------------------------------------------------------------

    def _run_company(self, company: Company, queue: _Queue, now: datetime, post: Post) -> int:
        self._delete_expired(company, now)
        active = [row for row in self._subscriptions.active(now) if self._company_of(row) == company.id]
        buffer = {row.id: list(queue.pending.get(row.id, ())) for row in active}
        for row in active:
            self._aggregate(company, row, buffer[row.id], queue.rows.get(row.id, []), now)
            # taken before sending: what is recorded while a subscriber answers waits for the next job
            self._take(queue, row.id, now)
        urls: dict[str, list[Record]] = {}
        for row in active:
            urls.setdefault(row["notificationUrl"], []).append(row)
        sent = 0
        for url, rows in urls.items():
            payload = self._payload(rows, buffer, now)
            if not payload:
                continue
            sent += 1
            self._settle(company, url, rows, buffer, now, self._send(url, payload, now, post))
        self._drop_failed(company, buffer)
        self._save(queue, buffer, now)
        gone = [one for one in (*queue.rows, *queue.pending) if self._environment.subscriptions.get(one) is None]
        self.forget(gone)
        return sent

    def _take(self, queue: _Queue, subscription_id: str, now: datetime) -> None:
        rows = queue.rows.pop(subscription_id, [])
        later = [entry for entry in rows if entry.at > now]
        self._stored -= len(rows) - len(later)
        if later:
            queue.rows[subscription_id] = later

    def _delete_expired(self, company: Company, now: datetime) -> None:
        expired = [
            row
            for row in self._environment.subscriptions
            if row["expirationDateTime"] < now and self._company_of(row) == company.id
        ]
        for row in expired:
            self._note(company, "Delete expired subscription.", row, failed=False)
        self._delete([row.id for row in expired])

    def _aggregate(self, company: Company, row: Record, buffer: list[Entry], rows: list[Entry], now: datetime) -> None:
        """Fold the recorded changes of one subscription into its buffer, in BC's order."""
        fresh = sorted((entry for entry in rows if entry.at <= now), key=lambda entry: entry.rank)
        has_delete = any(entry.kind == "deleted" for entry in rows)
        table = company.tables[self._target_of(row)[1]]
        latest = _latest_by_key(buffer)
        for entry in fresh:
            if _is_null_update(entry, table.get(entry.key)):
                continue
            if buffer and buffer[-1].kind == "collection":
                # everything newer folds in; a delete among the recorded changes drops the filter
                last, head = fresh[-1], buffer[-1]
                buffer[-1] = replace(head, at=last.at, first_at=None if has_delete else head.first_at)
                return
            place = latest.get(entry.key)
            if entry.kind == "updated" and place is not None and buffer[place].kind == "updated":
                buffer[place] = replace(entry, attempt=buffer[place].attempt, due=buffer[place].due)
                continue
            if len(buffer) > self.max_entries - 1:
                first = min(buffer, key=lambda one: one.rank)
                since = None if has_delete else first.at
                buffer[:] = [Entry("", "collection", entry.at, entry.seq, attempt=first.attempt, first_at=since)]
                continue
            latest[entry.key] = len(buffer)
            buffer.append(entry)

    def _payload(self, rows: list[Record], buffer: Mapping[str, list[Entry]], now: datetime) -> list[dict[str, Any]]:
        return [
            self._notification(row, entry, now)
            for row in rows
            for entry in sorted(buffer[row.id], key=lambda one: one.rank)
        ]

    def _notification(self, row: Record, entry: Entry, now: datetime) -> dict[str, Any]:
        resource = row["resource"]
        if entry.kind == "collection":
            if entry.first_at is not None:
                since = format_datetime(entry.first_at - SQL_ROUNDING)
                resource += f"?$filter=lastModifiedDateTime%20gt%20{since}"
        else:
            resource += f"({entry.key})"
        return {
            "subscriptionId": row["subscriptionId"],
            "clientState": row["clientState"],
            "expirationDateTime": format_datetime(row["expirationDateTime"]),
            "resource": resource,
            "changeType": entry.kind,
            "lastModifiedDateTime": format_datetime(entry.at if entry.at.year > 1 else now),
        }

    def _send(self, url: str, payload: list[dict[str, Any]], now: datetime, post: Post) -> int | None:
        correlation = self._environment.ids.guid()
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "clientRequestId": correlation,
            "x-ms-correlation-id": correlation,
        }

        def send(entries: list[dict[str, Any]]) -> int | None:
            body = json.dumps({"value": entries}, separators=(",", ":"), ensure_ascii=False).encode()
            return post(url, headers, body)

        status = self.tampering.send(url, payload, now, send)
        self.deliveries.append(Delivery(now, url, len(payload), status))
        return status

    def _settle(
        self,
        company: Company,
        url: str,
        rows: list[Record],
        buffer: dict[str, list[Entry]],
        now: datetime,
        status: int | None,
    ) -> None:
        """Act on the subscriber's answer: accepted, to be retried, or rejected for good."""
        if status is not None and 200 <= status <= 299:
            for row in rows:
                buffer[row.id] = []
            return
        self.log.append(
            LogLine(now, company.id, True, "Notification failed.", f"Notification URL: {url}. Response code {status}.")
        )
        if status is None or status in (408, 429) or 500 <= status <= 599:
            for row in rows:
                self._note(company, "Increase attempt number.", row, failed=False)
                buffer[row.id] = [
                    replace(entry, attempt=entry.attempt + 1) if entry.due is None or entry.due <= now else entry
                    for entry in buffer[row.id]
                ]
            return
        for row in rows:
            self._note(company, "Delete invalid subscription.", row, failed=False)
            buffer[row.id] = []
        self._delete([row.id for row in rows])

    def _drop_failed(self, company: Company, buffer: dict[str, list[Entry]]) -> None:
        for subscription_id, entries in buffer.items():
            if any(entry.attempt > MAX_ATTEMPTS for entry in entries):
                row = self._environment.subscriptions.get(subscription_id)
                if row is not None:
                    self._note(company, "Delete subscription with too many failures.", row, failed=False)
                    self._delete([subscription_id])
                buffer[subscription_id] = []

    def _save(self, queue: _Queue, buffer: dict[str, list[Entry]], now: datetime) -> None:
        """Keep what was not accepted and schedule the job for the earliest new date."""
        queue.pending.clear()
        earliest: datetime | None = None
        for subscription_id, entries in buffer.items():
            kept = []
            for entry in entries:
                if entry.due is None or entry.due <= now:
                    delay_s = RETRY_DELAYS_S[min(entry.attempt, len(RETRY_DELAYS_S) - 1)]
                    due = now + timedelta(seconds=delay_s * self.time_scale)
                    earliest = min(earliest or due, due)
                    kept.append(replace(entry, due=due))
                else:
                    kept.append(entry)
            if kept:
                queue.pending[subscription_id] = kept
        if earliest is not None:
            self._schedule(queue, earliest)

    # -- the rest ----------------------------------------------------------------------------------------------------

    def _schedule(self, queue: _Queue, earliest: datetime) -> None:
        """Start a job at most one delay after `earliest`; one that is due by then is reused."""
        latest = earliest + self.delay
        if not any(earliest <= job <= latest for job in queue.jobs):
            queue.jobs.append(latest)

    def _matching(self, now: datetime) -> dict[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[str]] = {}
        for row in self._subscriptions.active(now):
            found.setdefault(self._target_of(row), []).append(row.id)
        return found

    def _target_of(self, row: Record) -> tuple[str, str]:
        return target_of(row["resource"]) or ("", "")

    def _company_of(self, row: Record) -> str:
        return self._target_of(row)[0]

    def _delete(self, subscription_ids: list[str]) -> None:
        self._subscriptions.purge(subscription_ids)
        self.forget(subscription_ids)

    def _note(self, company: Company, message: str, row: Record, *, failed: bool) -> None:
        details = f"Subscription: {row.id}. Resource: {row['resource']}. URL: {row['notificationUrl']}."
        self.log.append(LogLine(self._environment.now(), company.id, failed, message, details))


def _latest_by_key(entries: list[Entry]) -> dict[str, int]:
    """Return the place of the last entry of each key, in sending order."""
    latest: dict[str, int] = {}
    for place in sorted(range(len(entries)), key=lambda at: entries[at].rank):
        latest[entries[place].key] = place
    return latest


def _is_null_update(entry: Entry, record: Record | None) -> bool:
    """Whether nothing changed: the row was last modified more than 2 s before the trigger ran."""
    if entry.kind != "updated" or record is None or "lastModifiedDateTime" not in record.entity.position:
        return False
    modified_at: datetime = record["lastModifiedDateTime"]
    return modified_at <= entry.at - NULL_UPDATE
