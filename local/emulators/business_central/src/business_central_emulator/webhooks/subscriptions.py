"""Webhook subscriptions: create and renew with the handshake, read, delete, expire.

Docs "Working with webhooks": the key is quoted, PATCH and DELETE want If-Match, a subscription lives three days from
its creation or renewal, an environment holds 200. A handshake that fails leaves everything as it was; the code and
text of that error are not documented, a 400 dialog error is assumed here.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from business_central_emulator.data import errors
from business_central_emulator.data.environment import Environment, Work
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import ENTITIES, SPELLINGS
from business_central_emulator.data.store import new_row
from business_central_emulator.server.exchange import Handshake

LIFETIME: Final = timedelta(days=3)
MAX_SUBSCRIPTIONS: Final = 200
#: Entity sets that BC always offers to webhooks; the two below may be missing on a tenant.
ALWAYS_SUPPORTED: Final = (
    "accounts", "companyInformation", "countriesRegions", "currencies", "customerPaymentJournals", "customers",
    "dimensions", "employees", "generalLedgerEntries", "itemCategories", "items", "journals", "paymentMethods",
    "paymentTerms", "purchaseInvoices", "salesCreditMemos", "salesInvoices", "salesOrders", "salesQuotes",
    "shipmentMethods", "unitsOfMeasure", "vendors",
)  # fmt: skip
MAYBE_SUPPORTED: Final = ("itemVariants", "salesShipments", "salesShipmentLines")
_RESOURCE = re.compile(r"(?:^|/)companies\(([0-9a-fA-F-]{36})\)/(\w+)$")
_ROUTE = re.compile(r"(?:^|/)api/(v2\.0|[^/]+/[^/]+/[^/]+)$", re.IGNORECASE)
_WRITABLE: Final = ("notificationUrl", "resource", "clientState")


def target_of(resource: str) -> tuple[str, str] | None:
    """Return (company id, table) of a `resource`, whichever of its forms it has, or None.

    The table of a custom API page is `<route>/<entity set>`, spelled as it was asked for.
    """
    path = unquote(urlsplit(resource).path if "://" in resource else resource)
    found = _RESOURCE.search(path.strip())
    if found is None:
        return None
    route = _ROUTE.search(path[: found.start()])
    if route is not None and route[1].lower() != "v2.0":
        return found[1].lower(), f"{route[1].lower()}/{found[2]}"
    if found[2].lower() not in SPELLINGS:
        return None
    return found[1].lower(), SPELLINGS[found[2].lower()]


class Subscriptions:
    """The subscriptions of one environment."""

    def __init__(self, environment: Environment, *, optional_resources: tuple[str, ...] = MAYBE_SUPPORTED) -> None:
        self._environment = environment
        self.optional_resources = optional_resources
        self.max_count = MAX_SUBSCRIPTIONS

    def supported(self) -> tuple[str, ...]:
        """Return the entity sets that may be subscribed to."""
        custom = (
            entity.table_key for api in self._environment.apis.values() for entity in api.values() if entity.scoped
        )
        return (*sorted((*ALWAYS_SUPPORTED, *self.optional_resources)), *sorted(custom))

    def active(self, now: datetime) -> list[Record]:
        """Return those that have not expired, by subscription id as BC's job reads them."""
        rows = sorted(self._environment.subscriptions, key=lambda record: record.id)
        return [record for record in rows if record["expirationDateTime"] >= now]

    def create(self, work: Work, body: Mapping[str, Any], user_id: str, handshake: Handshake) -> Record:
        """Create one after its handshake."""
        for name in ("notificationUrl", "resource"):
            if not body.get(name):
                raise errors.bad_request(f"The property '{name}' must be given and not be empty.")
        given = {name: body.get(name, "") for name in _WRITABLE}
        self._check(given)
        self._refuse_full()
        self._shake(given["notificationUrl"], handshake)
        self._refuse_full()  # others may have been created while the subscriber answered
        now = work.now
        row = {
            **given,
            **self._term(now, user_id),
            "subscriptionId": self._environment.ids.hex32(),
            "userId": user_id,
            "systemCreatedAt": now,
            "systemCreatedBy": user_id,
        }
        record = Record(ENTITIES["subscriptions"], new_row(ENTITIES["subscriptions"], row), now)
        work.tx.insert(self._environment.subscriptions, record)
        work.note("created", record)
        return record

    def renew(self, work: Work, record: Record, body: Mapping[str, Any], user_id: str, handshake: Handshake) -> Record:
        """Renew (and perhaps redirect) one after its handshake: a new term of three days."""
        if not body:
            raise errors.bad_request("The request body must not be empty.")
        given = {name: body.get(name, record[name]) for name in _WRITABLE}
        self._check(given)
        self._shake(given["notificationUrl"], handshake)
        if self._environment.subscriptions.get(record.id) is not record:  # deleted while the handshake ran
            raise errors.segment_not_found("subscriptions")
        changes = {**given, **self._term(work.now, user_id)}
        row = list(record.row)
        for name, value in changes.items():
            row[record.entity.position[name]] = value
        work.tx.modify(self._environment.subscriptions, record, row)
        work.note("updated", record)
        return record

    def remove(self, work: Work, record: Record) -> None:
        """Delete one."""
        work.tx.delete(self._environment.subscriptions, record)
        work.note("deleted", record)

    def purge(self, subscription_ids: list[str]) -> None:
        """Delete some without a word, as BC's job does."""
        work = Work(self._environment)
        for subscription_id in subscription_ids:
            record = self._environment.subscriptions.get(subscription_id)
            if record is not None:
                self.remove(work, record)
        work.commit()

    def _refuse_full(self) -> None:
        if len(self._environment.subscriptions) >= self.max_count:
            raise errors.dialog(f"The maximum number of subscriptions ({self.max_count}) has been reached.")

    def _check(self, given: Mapping[str, Any]) -> None:
        parts = urlsplit(given["notificationUrl"])
        if parts.scheme != "https" or not parts.netloc:
            raise errors.dialog("The notification URL must be an absolute https address.")
        target = target_of(given["resource"])
        if target is None or target[1] not in self.supported():
            raise errors.dialog(f"The resource '{given['resource']}' is not supported for webhooks.")
        if target[0] not in self._environment.companies:
            raise errors.company_not_found()

    def _shake(self, url: str, handshake: Handshake) -> None:
        token = self._environment.ids.hex32()
        mark = "&" if urlsplit(url).query else "?"
        # the token carries signs that must be decoded before it is echoed
        opaque = f"{token}+/{token[:6]}=="
        answer = handshake(f"{url}{mark}validationToken={quote(opaque, safe='')}")
        is_good = (
            answer is not None
            and answer.status == 200
            and answer.content_type.split(";")[0].strip().lower() == "text/plain"
            and answer.body == opaque.encode()
        )
        if not is_good:
            raise errors.dialog("The notification URL could not be validated: the validation token was not echoed.")

    def _term(self, now: datetime, user_id: str) -> dict[str, Any]:
        whole = now.replace(microsecond=0)
        return {
            "timestamp": self._environment.next_row_version(),
            "lastModifiedDateTime": whole,
            "expirationDateTime": whole + LIFETIME,
            "systemModifiedAt": now,
            "systemModifiedBy": user_id,
        }
