"""The books of a soak: what was sent, what left the app, and what Business Central says about both."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import requests
from azure.core.exceptions import ResourceExistsError
from azure.storage.queue import QueueClient

from local.stack.mailbox import API_VERSION, Mailbox
from shared.business_central.code_text import code_of
from shared.resource_names import WORK_QUEUES

if TYPE_CHECKING:
    from local.stack.stack import Stack
    from tests.soak.report import Report

WATCHED: Final = ("items", "salesShipments", "salesInvoices")
_ONCE: Final = frozenset({"created", "posted"})


class Refused(Exception):
    """Business Central did not let a person do this."""


class Emulator:
    """The control side of the emulated Business Central. One per thread."""

    def __init__(self, stack: Stack) -> None:
        """Take the stack whose Business Central it is."""
        self._url = f"{stack.bc_url}/_emulator/"
        self._http = requests.Session()
        self._http.trust_env = False  # REQUESTS_CA_BUNDLE would outrank `verify`
        self._http.verify = str(stack.ca_file)

    def call(self, command: str, **arguments: Any) -> Any:
        """Run one command.

        Raises:
            Refused: Business Central's rules forbid it.
            requests.RequestException: it does not answer.
        """
        answer = self._http.post(self._url + command, json=arguments, timeout=60)
        if answer.status_code == 400:
            raise Refused(answer.text[:300])
        answer.raise_for_status()
        return answer.json()

    def newest(self) -> int:
        """Return the number of the newest thing that happened."""
        return max((event["seq"] for event in self.call("state")["history"]), default=0)

    def subscriptions(self) -> list[dict[str, Any]]:
        """Return the webhooks it holds."""
        rows: list[dict[str, Any]] = self.call("state")["subscriptions"]
        return rows

    def records(self, entity_set: str) -> dict[str, dict[str, Any]]:
        """Return all records of an entity set by id, whatever the company."""
        found: dict[str, dict[str, Any]] = {}
        for company in self.call("state", entitySet=entity_set)["records"].values():
            found |= company
        return found

    def news(self, entity_set: str, since: int) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
        """Return the records of an entity set by id, and what happened to them after `since`."""
        state = self.call("state", entitySet=entity_set)
        records = {key: row for company in state["records"].values() for key, row in company.items()}
        return records, [event for event in state["history"] if event["seq"] > since]

    def orders(self) -> dict[str, list[str]]:
        """Return the numbers of all orders by external document number."""
        found: dict[str, list[str]] = defaultdict(list)
        for row in self.records("salesOrders").values():
            found[row["externalDocumentNumber"]].append(row["number"])
        return found


@dataclass(slots=True)
class Sent:
    """All messages under one order key."""

    key: str  # upper case, as results tell it
    external: str  # as Business Central gets it
    is_good: bool
    text: str
    messages: int = 0


@dataclass
class Account:
    """What was sent and what came out; event ids and versions only, no records."""

    storage: str  # connection string
    sent: dict[str, Sent] = field(default_factory=dict)
    told: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # event ids
    pulled: dict[str, set[tuple[str, ...]]] = field(default_factory=lambda: defaultdict(set))  # versions by item
    results: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))  # (status, number)
    events: Counter[str] = field(default_factory=Counter)  # by change

    def __post_init__(self) -> None:
        self.mailbox = Mailbox(self.storage)

    def read(self) -> None:
        """Take what has left the app since."""
        for event in self.mailbox.take():
            change, record = event["type"].split(".")[2], event["subject"].partition("(")[2].rstrip(")")
            self.events[change] += 1
            self.told[change, record][event["id"]] += 1
            if change == "pulled":
                self.pulled[record].add(version(event["data"], event["data"].get("itemVariants", ())))
        for result in self.mailbox.results():
            self.results[code_of(result["orderKey"])].append((result["status"], result["number"]))

    def take(self, queue: str) -> str | None:
        """Take one message out of a queue, as its text; None when none is visible."""
        work = self._queue(queue)
        for message in work.receive_messages(max_messages=1, visibility_timeout=30):
            work.delete_message(message)
            return str(message.content)
        return None

    def put_poison(self, queue: str, text: str) -> None:
        """Put a message into the poison queue of a queue."""
        poison = self._queue(f"{queue}-poison")
        with contextlib.suppress(ResourceExistsError):
            poison.create_queue()
        poison.send_message(text)

    def _queue(self, name: str) -> QueueClient:
        return QueueClient.from_connection_string(self.storage, name, api_version=API_VERSION)

    def unanswered(self) -> list[str]:
        """Return the keys of orders without a result."""
        return [key for key in list(self.sent) if key not in self.results]

    def queued(self) -> dict[str, int]:
        """Return what lies in the queues the app reads, poison queues included, where it is not nothing."""
        names = [name + end for name in WORK_QUEUES for end in ("", "-poison")]
        counts = {name: self.mailbox.count(name) for name in names}
        return {name: held for name, held in counts.items() if held}


def version(row: dict[str, Any], nested: Any) -> tuple[str, ...]:
    """Return the ETags of a record and of what belongs to it."""
    return (row["@odata.etag"], *sorted(one["@odata.etag"] for one in nested))


class Judge:
    """Compares the books with Business Central."""

    def __init__(self, bc: Emulator, account: Account, since: int) -> None:
        """Take both sides, and the number of the last thing that happened before the soak."""
        self._bc = bc
        self._account = account
        self._since = since

    def awaited(self, status: dict[str, Any]) -> list[str]:
        """Return what must still come; `status` is the app's own view of itself."""
        missing = [*self._missing(Counter()), *(f"the result of {key}" for key in self._account.unanswered())]
        missing += [f"message {one['id']} is a dead letter: {one['reason']}" for one in status["dead_letters"]]
        stopped = status["orders_waiting"] + status["orders_parked"]
        missing += [f"{stopped} orders wait or are parked"] if stopped else []
        return missing

    def judge(self, report: Report, status: dict[str, Any], left: dict[str, int]) -> None:
        """Fill a report; `left` is what the queues held when all was quiet."""
        account = self._account
        happened = set(self._happened(report.checked))
        report.lost += self.awaited(status)
        report.lost += [f"{held} messages are left in {queue}" for queue, held in left.items()]
        for (change, record), ids in account.told.items():
            if change in _ONCE and len(ids) > 1:
                report.doubled.append(f"{change} of {record} under {len(ids)} ids")
            if change in _ONCE and (change, record) not in happened:
                report.wrong.append(f"{change} of {record} was told and did not happen since the soak began")
            report.repeated["announced" if change in _ONCE else "pulled"] += ids.total() - len(ids)
        report.checked["events"], report.checked["pulled"] = account.events.total(), account.events["pulled"]
        self._judge_orders(report)

    def _happened(self, checked: Counter[str]) -> Iterator[tuple[str, str]]:
        """Yield what has to be told once: (change, record id)."""
        for name in WATCHED:
            records, history = self._bc.news(name, self._since)
            for change, record in {(event["kind"], event["id"]) for event in history}:
                if change in _ONCE and record in records:
                    checked[name if change == "created" else change] += 1
                    yield change, record

    def _missing(self, checked: Counter[str]) -> Iterator[str]:
        for change, record in self._happened(checked):
            if (change, record) not in self._account.told:
                yield f"{change} of {record}"
        variants: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for variant in self._bc.records("itemVariants").values():
            variants[variant["itemId"]].append(variant)
        for key, item in self._bc.records("items").items():
            if version(item, variants[key]) not in self._account.pulled.get(key, ()):
                yield f"the last version of item {item['number']} by the pull"

    def _judge_orders(self, report: Report) -> None:
        held = self._bc.orders()
        for sent in self._account.sent.values():
            results = self._account.results.get(sent.key, [])
            fates, numbers = {status for status, _ in results}, held.get(sent.external, [])
            report.checked["orders"] += 1
            report.checked["messages"] += sent.messages
            report.repeated["results"] += max(0, len(results) - sent.messages)
            for fate in fates:
                report.checked[fate] += 1
            if len(set(results)) > 1 or len(numbers) > 1:
                report.doubled.append(f"order {sent.key}: results {sorted(set(results))}, in BC {numbers}")
            elif results and fates != {"created" if sent.is_good else "rejected"}:
                report.wrong.append(f"order {sent.key} ended as {sorted(fates)}")
            elif results and numbers != [number for _, number in set(results) if number]:
                report.wrong.append(f"order {sent.key}: results {sorted(set(results))}, in BC {numbers}")
