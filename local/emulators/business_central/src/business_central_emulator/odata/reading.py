"""Collections and single rows as JSON: pages with their next links, `$select`, `$expand`, counts."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from urllib.parse import quote

from business_central_emulator.data import errors
from business_central_emulator.data.environment import Company, Environment
from business_central_emulator.data.record import Record
from business_central_emulator.data.replica import as_of
from business_central_emulator.data.schema import ENTITIES, MADE_ON_DEMAND, Entity
from business_central_emulator.data.store import Table
from business_central_emulator.odata import planning
from business_central_emulator.odata.query import MAX_PAGE_ROWS, Options
from business_central_emulator.odata.render import row_json, with_expansions


@dataclass(slots=True)
class Reader:
    """Reads for one request: where, under which faults, and with how much metadata."""

    environment: Environment
    company: Company | None
    broken: Mapping[str, str]  # record id -> how reading it fails: "500" or "dialog"
    shows_metadata: bool = True  # False with odata.metadata=none: no context, no ETags
    links_full_pages: bool = False  # a page that is just full gets a next link even if nothing follows
    at: datetime | None = None  # the read is answered by a replica that is this far; None = current
    on_read: Callable[[Record], None] | None = None  # called before a row is written: reads that modify drafts

    def table(self, entity: Entity) -> Table:
        """Return the table of an entity set."""
        if not entity.scoped:
            return self._seen(self.environment.table(entity.name))
        if self.company is None:
            raise errors.bad_request("A company must be given in the path, the query or the Company header.")
        return self._seen(self.company.tables[entity.table_key])

    def _seen(self, table: Table) -> Table:
        return table if self.at is None else as_of(table, self.at)

    def single(self, record: Record, options: Options) -> bytes:
        """Return one row with its expansions.

        Raises:
            ApiError: the row is broken.
        """
        if self.on_read is not None:
            self.on_read(record)
        broken = self.broken.get(record.id)
        if broken == "dialog":
            raise errors.dialog("The record cannot be read: a date formula is not valid.")
        if broken is not None:
            raise errors.server_error()
        text = row_json(record, etag=self.shows_metadata, select=options.select)
        return with_expansions(text, record, options.expand, self._expansion) if options.expand else text

    def count(self, table: Table, options: Options, *, among: list[Record] | None = None) -> int:
        """Return how many rows a filter leaves."""
        return sum(1 for _ in planning.plan(table, options, among=among).rows())

    def page(self, table: Table, options: Options, *, max_rows: int, among: list[Record] | None = None) -> "Page":
        """Return one page of a collection."""
        plan = planning.plan(table, options, among=among)
        total = self.count(table, options, among=among) if options.count else None
        if options.skip_token is not None:
            rows = plan.rows_after(planning.last_sent(table, options.skip_token))
        else:
            rows = islice(plan.rows(), options.skip, None)
        size = min(max_rows, MAX_PAGE_ROWS)
        wanted = size if options.top is None else min(size, options.top)
        records = list(islice(rows, wanted))
        left = None if options.top is None else options.top - len(records)
        has_more = next(rows, None) is not None or (self.links_full_pages and len(records) == size)
        goes_on = bool(records) and has_more and left != 0
        texts = [self.single(record, options) for record in records]
        return Page(texts, total, records[-1].id if goes_on else None, left if goes_on else None)

    def _expansion(self, record: Record, name: str, options: Options) -> bytes:
        nav = record.entity.nav(name)
        if nav is None:
            raise errors.unknown_property_in_filter(name, record.entity.type_name)
        if not nav.local and record.entity.scoped:
            raise errors.NotEmulatedError(f"the navigation {name}")
        if record.entity.name == "companies" and not record.entity.scoped:
            reader = replace(self, company=self.environment.companies[record.id])
            rows = planning.plan(reader.table(record.entity.catalog[nav.target]), options).rows()
            return reader.many(rows, options)
        table = self.table(record.entity.catalog[nav.target])
        value = record[nav.local]
        if not nav.many:
            found = table.get(value) if nav.remote == table.entity.key else table.find(nav.remote, value)
            if found is None and nav.target in MADE_ON_DEMAND:
                raise errors.NotEmulatedError(f"the making of {name}")
            return b"null" if found is None else self.single(found, options)
        plan = planning.plan(table, options, among=table.where(nav.remote, value))
        return self.many(plan.rows(), options)

    def many(self, all_rows: Iterator[Record], options: Options) -> bytes:
        """Return expanded rows as an array; an expansion is not paged."""
        rows: Iterator[Record] = islice(all_rows, options.skip, None)
        if options.top is not None:
            rows = islice(rows, options.top)
        return b"[" + b",".join(self.single(row, options) for row in rows) + b"]"


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one page and what a next link needs."""

    rows: list[bytes]
    total: int | None
    last_id: str | None  # set when there is a next page
    top_left: int | None

    def body(self, *, context: str | None, url: str, options: Options) -> bytes:
        """Return the collection envelope; `url` is the request's without its query."""
        parts = [] if context is None else [f'"@odata.context":"{context}"'.encode()]
        if self.total is not None:
            parts.append(f'"@odata.count":{self.total}'.encode())
        parts.append(b'"value":[' + b",".join(self.rows) + b"]")
        if self.last_id is not None:
            parts.append(f'"@odata.nextLink":"{self.next_link(url, options)}"'.encode())
        return b"{" + b",".join(parts) + b"}"

    def next_link(self, url: str, options: Options) -> str:
        """Return the absolute, encoded next link in the recorded shape."""
        query = [options.repeated] if options.repeated else []
        if self.top_left is not None:
            query.append(f"$top={self.top_left}")
        query.append(f"aid=FIN&$skiptoken={quote(self.last_id or '', safe='-')}")
        return f"{url}?{'&'.join(query)}"


def parent_of_lines(name: str) -> str:
    """Return the document set that a set of lines belongs to."""
    return next(nav.target for nav in ENTITIES[name].navs if nav.local == "documentId")
