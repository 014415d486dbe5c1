"""Reads: from the segments of a URL to a row or a set, and from there to a page or a single entity."""

from collections.abc import Mapping

from business_central_emulator.data import errors
from business_central_emulator.data.environment import Work
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import ENTITIES, MADE_ON_DEMAND, UNEMULATED_NAVS, Entity
from business_central_emulator.odata.calls import Call, Outcome, Target, context_of, with_context
from business_central_emulator.odata.filter import conjuncts, equal_values
from business_central_emulator.odata.query import MAX_PAGE_ROWS, Options
from business_central_emulator.odata.routing import Segment


def set_named(catalog: Mapping[str, Entity], name: str) -> Entity | None:
    """Return an entity set by its name in any case, or None."""
    return catalog.get(name) or next((one for key, one in catalog.items() if key.lower() == name.lower()), None)


def walk(call: Call, work: Work, segments: list[Segment]) -> Target:
    """Return where the segments below the company lead."""
    head, *rest = segments
    entity = set_named(call.catalog, head.name)
    if entity is None or not entity.scoped:
        raise errors.segment_not_found(head.name)
    target = Target(entity, context=f"companies({work.company.id})/{entity.name}", segment=head.name)
    if head.key is not None:
        _key(call, target, head)
    for segment in rest:
        if target.record is None:
            raise errors.segment_not_found(segment.name)
        target = _step(call, target, segment)
    return target


def _key(call: Call, target: Target, segment: Segment) -> None:
    wanted = segment.guid()
    record = call.reader.table(target.entity).get(wanted)
    if target.among is not None and record not in target.among:
        record = None
    if record is None:
        raise errors.segment_not_found(segment.name)
    target.record = record


def _step(call: Call, at: Target, segment: Segment) -> Target:
    record = at.record
    nav = next((nav for nav in at.entity.navs if nav.name.lower() == segment.name.lower()), None)
    if nav is None or record is None or not nav.local:
        if nav is not None or segment.name in UNEMULATED_NAVS:
            raise errors.NotEmulatedError(f"the navigation {segment.name}")
        raise errors.segment_not_found(segment.name)
    table = call.reader.table(at.entity.catalog[nav.target])
    context = f"{at.context}({record.id})/{nav.name}"
    target = Target(at.entity.catalog[nav.target], parent=record, context=context, segment=segment.name)
    if nav.many:
        target.among = table.where(nav.remote, record[nav.local])
        target.link = nav
        if segment.key is not None:
            _key(call, target, segment)
        return target
    target.record = (
        table.get(record[nav.local]) if nav.remote == table.entity.key else table.find(nav.remote, record[nav.local])
    )
    if target.record is None and nav.target in MADE_ON_DEMAND:
        raise errors.NotEmulatedError(f"the making of {segment.name}")
    if target.record is None:
        raise errors.segment_not_found(segment.name)
    return target


def read_companies(call: Call, segment: Segment) -> Outcome:
    """Answer a GET of `companies` or one of them."""
    if call.request.method != "GET":
        raise errors.method_not_allowed(call.request.method, "companies")
    options = call.options(ENTITIES["companies"])
    table = call.reader.table(ENTITIES["companies"])
    if segment.key is not None:
        record = table.get(segment.guid())
        if record is None:
            raise errors.company_not_found()
        text = call.reader.single(record, options)
        return Outcome(200, with_context(call, text, "companies/$entity"), rows=1)
    max_rows, applied = _page_rows(call)
    page = call.reader.page(table, options, max_rows=max_rows)
    body = page.body(context=context_of(call, "companies", options), url=call.address.url, options=options)
    return Outcome(200, body, applied_preference=applied, rows=len(page.rows))


def read_unscoped(call: Call, entity: Entity, segment: Segment) -> Outcome:
    """Answer a GET of a set that no company has, or of one of its rows."""
    if call.request.method != "GET":
        raise errors.NotEmulatedError(f"{call.request.method} of {entity.name}")
    target = Target(entity, context=entity.name, segment=segment.name)
    if segment.key is not None:
        _key(call, target, segment)
    return read(call, target)


def read(call: Call, target: Target) -> Outcome:
    """Answer a GET of a set or a row."""
    entity = target.entity
    options = call.options(entity)
    if target.record is not None:
        text = call.reader.single(target.record, options)
        return Outcome(200, with_context(call, text, target.context, options), rows=1)
    table = call.reader.table(entity)
    among = target.among
    if entity.needs_parent and target.parent is None:
        among = _lines_asked_for(call, entity, options)
    max_rows, applied = _page_rows(call)
    page = call.reader.page(table, options, max_rows=max_rows, among=among)
    body = page.body(context=context_of(call, target.context, options), url=call.address.url, options=options)
    return Outcome(200, body, applied_preference=applied, rows=len(page.rows))


def count(call: Call, target: Target) -> Outcome:
    """Answer a GET of `<set>/$count`: the number as text behind a byte order mark, as seen live."""
    if target.record is not None:
        raise errors.segment_not_found("$count")
    options = call.options(target.entity)
    among = target.among
    if target.entity.needs_parent and target.parent is None:
        among = _lines_asked_for(call, target.entity, options)
    total = call.reader.count(call.reader.table(target.entity), options, among=among)
    return Outcome(200, b"\xef\xbb\xbf" + str(total).encode(), content_type="text/plain; charset=utf-8")


def _lines_asked_for(call: Call, entity: Entity, options: Options) -> list[Record]:
    """Return the lines a bare collection GET may see: one document's, or those with the ids asked for."""
    table = call.reader.table(entity)
    for term in conjuncts(options.node):
        equal = equal_values(term)
        if equal and equal[0] == "documentId":
            return table.where("documentId", equal[1][0])  # a second document is not loaded
        if equal and equal[0] == "id":
            return [record for value in equal[1] if (record := table.get(value))]
    raise errors.dialog("You must specify an Id or a Document Id to get the lines.")


def _page_rows(call: Call) -> tuple[int, str | None]:
    """Return the page size asked for and the preference to confirm."""
    for part in (call.request.header("Prefer") or "").split(","):
        name, _, value = part.strip().partition("=")
        if name.lower() == "odata.maxpagesize" and value.isdecimal() and int(value) > 0:
            return min(int(value), MAX_PAGE_ROWS), "odata.maxpagesize"
    return MAX_PAGE_ROWS, None
