"""Finds what the app and Business Central know of one order key, record id or record number.

What was announced when, by which job, under which event id; what Business Central says now. Ids, numbers, states and
times only; no other content of a record gets here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from shared.business_central.code_text import code_of
from shared.business_central.entities import SALES_ORDERS, Entity
from shared.business_central.port import Company, PageAsk, PostedOrder
from shared.business_central.records import Record
from shared.changes import cloud_events, event_batch, ledger_rules
from shared.changes.ledger_rules import Known
from shared.changes.streams import Stream
from shared.clock import NO_TIME
from shared.concurrency import at_once
from shared.connections.context import Context
from shared.dead_letters import redrive
from shared.errors import IntegrationError, InvalidMessage
from shared.guid import is_guid
from shared.operations.status import order_story
from shared.operations.stores import Stores
from shared.operations.time_limit import TookTooLong, within

#: Companies in which Business Central is asked for a record that no ledger knows: three requests each.
MOST_COMPANIES: Final = 10
_PAGE_WAITS_S: Final = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """One event that has left."""

    type: str
    event_id: str  # "" where it was of a version that is gone
    job: str
    at: datetime | None  # None where 0.1.0 announced it


@dataclass(frozen=True, slots=True, kw_only=True)
class InBusinessCentral:
    """What Business Central says of a record now."""

    is_there: bool
    number: str = ""
    status: str = ""
    modified: datetime | None = None
    error: str = ""  # why it did not say


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordStory:
    """What is known of one record."""

    company: str
    company_name: str
    entity: str
    id: str
    in_snapshot: bool  # it was there when all ids were last read, announced or not
    announced: tuple[Announced, ...]
    business_central: InBusinessCentral


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Everything that bears what was asked for; all empty when nothing does."""

    key: str
    at: datetime
    records: tuple[RecordStory, ...] = ()
    orders: tuple[dict[str, Any], ...] = ()
    dead_letters: tuple[str, ...] = ()
    not_asked: tuple[str, ...] = ()  # companies in which Business Central was not asked: name one
    errors: tuple[str, ...] = ()  # where it did not answer


def find(ctx: Context, stores: Stores, key: str, company: str = "") -> Found:
    """Look for an order key, record id or record number; in one company (id or name) when it is named.

    Raises:
        InvalidMessage: nothing to look for, or no such company.
        BCError, TokenError, StoreUnavailable: the companies, or the tables, could not be read.
    """
    key = key.strip()
    if not key:
        raise InvalidMessage(["key: an order key, a record id or a record number, for example ?key=1896-S"])
    companies = ctx.companies.named(company)
    if not companies:
        raise InvalidMessage([f"company: {company!r} is not a company that this app serves"])
    looked = _Look(ctx, stores, key)
    return looked.records(companies, Found(
        key=key, at=ctx.now(), orders=tuple(looked.orders(companies)),
        dead_letters=tuple(f"{one.queue}/{one.name}" for one in redrive.find(stores.dead_letters, key, ctx.now())),
    ))  # fmt: skip


def find_in_time(ctx: Context, stores: Stores, key: str) -> Found:
    """Look for a key as the connect page does, which waits for some seconds.

    Raises:
        As `find`.
    """
    try:
        return within(_PAGE_WAITS_S, lambda: find(ctx, stores, key))
    except TookTooLong:
        return Found(key=key, at=ctx.now(), errors=(f"Business Central gave no answer within {_PAGE_WAITS_S:g} s",))


class _Look:
    """One look for one key."""

    def __init__(self, ctx: Context, stores: Stores, key: str) -> None:
        self._ctx = ctx
        self._stores = stores
        self._key = key

    def records(self, companies: list[Company], found: Found) -> Found:
        """Add the stories of records: of one that a ledger knows by its id, else of what Business Central has."""
        entities = self._ctx.catalogue.resolved().entities
        places = [(company, entity) for company in companies for entity in entities]
        known = [place for place in places if self._is_known(*place)]
        if known:
            return replace(found, records=tuple(self._story(*place, *self._record(place)) for place in known))
        asked = places[: MOST_COMPANIES * len(entities)]
        answers = list(zip(asked, at_once(self._record, asked, self._ctx.threads), strict=True))
        errors = [f"{entity.name} of {one.display_name}: {said[1]}" for (one, entity), said in answers if said[1]]
        return replace(
            found,
            records=tuple(self._story(*place, *said) for place, said in answers if said[0] is not None),
            errors=tuple(errors),
            not_asked=tuple(one.display_name for one in companies[MOST_COMPANIES:]),
        )

    def _is_known(self, company: Company, entity: Entity) -> bool:
        """Return whether the key is an id that the ledger of a company's entity knows."""
        if not is_guid(self._key):
            return False
        ledger, key = self._stores.changes.ledger(company.key, entity), self._key.lower()
        return bool(ledger.known([key])) or ledger.is_in_snapshot(key)

    def _record(self, place: tuple[Company, Entity]) -> tuple[Record | None, str]:
        """Ask Business Central for the record in one place; return it, or why it did not say."""
        company, entity = place
        try:
            found = self._by_id(company, entity) if is_guid(self._key) else self._by_number(company, entity)
        except IntegrationError as error:
            return None, str(error)
        return next(iter(found), None), ""

    def _by_id(self, company: Company, entity: Entity) -> list[Record]:
        expanded = bool(entity.expand)  # a version is of the record with what belongs to it
        return self._ctx.bc.records(company.key, entity, [self._key.lower()], expanded=expanded)

    def _by_number(self, company: Company, entity: Entity) -> list[Record]:
        if not entity.sort:
            return []
        number, expanded = code_of(self._key), bool(entity.expand)
        ask = PageAsk(company=company.key, entity=entity, expanded=expanded, low=number, order=entity.sort, rows=1)
        return [one for one in self._ctx.bc.page(ask).page.records if code_of(one.text(entity.sort)) == number]

    def _story(self, company: Company, entity: Entity, record: Record | None, error: str) -> RecordStory:
        """Return what is known of a record that was found, or is known by its id."""
        key = self._key.lower() if record is None else record.key
        ledger = self._stores.changes.ledger(company.key, entity)
        known, times = ledger.known([key]).get(key), ledger.announced_at(key)
        events = [
            *self._events(company, entity, key, known, record, times),
            *self._pulled(company, entity, key, record),
        ]
        return RecordStory(
            company=company.key, company_name=company.display_name, entity=entity.name, id=key,
            in_snapshot=ledger.is_in_snapshot(key), announced=tuple(events), business_central=_said(record, error),
        )  # fmt: skip

    def _events(
        self,
        company: Company,
        entity: Entity,
        key: str,
        known: Known | None,
        record: Record | None,
        times: Mapping[str, datetime],
    ) -> Iterator[Announced]:
        for change, job in ledger_rules.announced_by(known):
            is_version = change == "updated"
            version = record.version if is_version and record is not None else ""
            is_gone = is_version and (known is None or version != known.version)
            yield Announced(
                type=entity.event_type(change), job=job, at=times.get(change),
                event_id="" if is_gone else self._id(company, entity, change, key, version),
            )  # fmt: skip

    def _pulled(self, company: Company, entity: Entity, key: str, record: Record | None) -> Iterator[Announced]:
        changes = self._stores.changes
        until = changes.streams.load(Stream("pull", company.key, entity.name)).watermark
        if until is None:
            return
        jobs = changes.pulled_versions(company.key, entity).announced_by(key)
        is_known = record is not None and record.newest < until
        for job, at in jobs or ([("", None)] if is_known else []):
            version = record.version if record is not None and is_known else ""
            yield Announced(
                type=entity.event_type("pulled"), job=job, at=at,
                event_id=self._id(company, entity, "pulled", key, version) if version else "",
            )  # fmt: skip

    def _id(self, company: Company, entity: Entity, change: str, key: str, version: str) -> str:
        return cloud_events.event_id(
            event_batch.origin_of(self._ctx, company.key, entity.route).seed, entity, change, key, version
        )

    def orders(self, companies: list[Company]) -> Iterator[dict[str, Any]]:
        """Yield the story of each order with this key, or whose document bears this number."""
        keys = dict.fromkeys([self._key, *(self._order_of(company) for company in companies)])
        for key in filter(None, keys):
            for story in order_story(self._stores.orders, key):
                yield {**story, "businessCentral": self._document(story)}

    def _order_of(self, company: Company) -> str:
        document = PostedOrder(order_id="", number=code_of(self._key))
        return "" if is_guid(self._key) else self._stores.orders.claimant(company.key, document)

    def _document(self, story: dict[str, Any]) -> InBusinessCentral | None:
        """Ask for the order that a story says was created; one that was shipped and invoiced is no order any more."""
        if not story["id"]:
            return None
        try:
            found = self._ctx.bc.records(story["company"], SALES_ORDERS, [story["id"]], expanded=False)
        except IntegrationError as error:
            return _said(None, str(error))
        return _said(next(iter(found), None), "")


def _said(record: Record | None, error: str) -> InBusinessCentral:
    if record is None:
        return InBusinessCentral(is_there=False, error=error)
    modified = record.modified if record.modified > NO_TIME else None
    return InBusinessCentral(is_there=True, number=record.number, status=record.status, modified=modified)
