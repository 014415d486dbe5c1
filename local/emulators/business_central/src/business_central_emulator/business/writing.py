"""Writes: POST, PATCH, DELETE and the bound actions, each checked as its AL page checks it."""

from collections.abc import Mapping
from typing import Any, Final

from business_central_emulator.business import documents, generic, lines, masters, posting
from business_central_emulator.data import errors, facts
from business_central_emulator.data.environment import Work
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import ENTITIES, STANDARD_ROUTE
from business_central_emulator.odata import bodies
from business_central_emulator.odata.calls import Call, Outcome, Target, check_etag, written
from business_central_emulator.odata.navigation import walk
from business_central_emulator.odata.reading import parent_of_lines
from business_central_emulator.odata.routing import Segment

DOCUMENTS: Final = frozenset({"salesOrders", "salesInvoices"})
_ACTIONS: Final[Mapping[str, frozenset[str]]] = {
    entity.name: frozenset(action.lower() for kind, action in facts.ACTIONS if kind == entity.type_name)
    for entity in ENTITIES.values()
}


def post(call: Call, work: Work, target: Target) -> Outcome:
    """Create a row, a document with its lines, or a line."""
    entity = target.entity
    if target.record is not None or "I" not in entity.can:
        raise errors.method_not_allowed("POST", target.segment)
    if entity.is_ruled:
        raise errors.NotEmulatedError(f"the rules by which {entity.name} are made")
    body = bodies.parse_object(call.request.body)
    own, nested = bodies.split_navigation(entity, body)
    given = bodies.for_create(entity, own)
    if entity.name in DOCUMENTS:
        record = documents.create_header(work, entity.name, given)
        _deep_insert(work, record, nested)
    elif entity.needs_parent:
        record = _post_line(work, target, given)
    elif entity.name not in masters.RULED or entity.route != STANDARD_ROUTE:
        _refuse_nested(nested)
        record = generic.create(work, entity, given, target.parent, target.link)
    else:
        _refuse_nested(nested)
        if target.parent is not None and entity.name == "itemVariants":
            given.setdefault("itemId", target.parent.id)
        record = masters.create(work, entity.name, given)
    return written(call, record, target, 201)


def _deep_insert(work: Work, header: Record, nested: Mapping[str, Any]) -> None:
    lines_name = documents.LINES[header.entity.name]
    for name in sorted(nested, key=lambda name: name == lines_name):  # dimensions before lines
        if name not in (lines_name, "dimensionSetLines"):
            raise errors.NotEmulatedError(f"a deep insert of {name}")
        rows = nested[name]
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise errors.bad_request(f"The value of '{name}' must be an array of objects.")
        for row in rows:
            own, _ = bodies.split_navigation(ENTITIES[name], row)
            given = bodies.for_create(ENTITIES[name], own)
            if name == lines_name:
                lines.create_line(work, header, given)
            else:
                generic.create_dimension(work, header, given)
        if rows and name == lines_name:
            documents.recalculate(work, header)


def _post_line(work: Work, target: Target, given: dict[str, Any]) -> Record:
    header = target.parent
    if header is None:
        header = work.table(parent_of_lines(target.entity.name)).get(given.get("documentId", ""))
    if header is None:
        raise errors.dialog("No document with the specified ID exists.")
    record = lines.create_line(work, header, given)
    documents.recalculate(work, header)
    return record


def _refuse_nested(nested: Mapping[str, Any]) -> None:
    if nested:
        raise errors.NotEmulatedError(f"a deep insert of {next(iter(nested))}")


def patch(call: Call, work: Work, target: Target) -> Outcome:
    """Change a row; If-Match is required and deep updates are refused."""
    record = target.record
    if record is None or "U" not in target.entity.can:
        raise errors.method_not_allowed("PATCH", target.segment)
    check_etag(call, record, required=True)
    own, nested = bodies.split_navigation(target.entity, bodies.parse_object(call.request.body))
    if nested:
        raise errors.bad_request("Deep updates are not supported.")
    changes = bodies.for_update(record, own)
    name = target.entity.name
    if name in DOCUMENTS:
        if name == "salesInvoices" and record["posted"]:
            _patch_posted(work, record, changes)
        else:
            documents.update_header(work, record, changes)
    elif target.entity.needs_parent:
        header = _header_of(work, record)
        lines.update_line(work, header, record, changes)
        documents.recalculate(work, header)
    elif name not in masters.RULED or target.entity.route != STANDARD_ROUTE:
        generic.update(work, record, changes)
    else:
        masters.update(work, record, changes)
    return written(call, record, target, 200)


def _patch_posted(work: Work, record: Record, changes: dict[str, Any]) -> None:
    if set(changes) - {"promisedPayDate", "dueDate", "disputeStatus", "disputeStatusId"}:
        raise errors.dialog("The invoice has been posted and can no longer be modified.")
    if changes.get("disputeStatus"):
        raise errors.dialog("The dispute status cannot be found.")
    if "disputeStatusId" in changes:
        raise errors.dialog('The "disputeStatusId" does not match to a Dispute Status.')
    work.update(record, changes)


def delete(call: Call, work: Work, target: Target) -> Outcome:
    """Delete a row; a document goes with its lines."""
    record = target.record
    if record is None or "D" not in target.entity.can:
        raise errors.method_not_allowed("DELETE", target.segment)
    check_etag(call, record, required=False)
    if target.entity.name in DOCUMENTS:
        documents.delete_header(work, record)
    elif target.entity.needs_parent:
        header = _header_of(work, record)
        lines.delete_line(work, header, record)
        documents.recalculate(work, header)
    elif target.entity.name not in masters.RULED or target.entity.route != STANDARD_ROUTE:
        work.delete(record)
    else:
        masters.delete(work, record)
    return Outcome(204)


def _header_of(work: Work, line: Record) -> Record:
    header = work.table(parent_of_lines(line.entity.name)).get(line["documentId"])
    if header is None:
        raise errors.dialog("No document with the specified ID exists.")
    return header


def act(call: Call, work: Work, segments: list[Segment]) -> Outcome:
    """Carry out a bound action; its name is matched without regard to case."""
    name = segments[-1].name[len("Microsoft.NAV.") :].lower()
    target = walk(call, work, segments[:-1])
    record = target.record
    if record is None or name not in _ACTIONS.get(target.entity.name, ()):
        raise errors.segment_not_found(segments[-1].name)
    if call.request.method != "POST":
        raise errors.method_not_allowed(call.request.method, segments[-1].name)
    if target.entity.name not in DOCUMENTS:
        raise errors.NotEmulatedError(f"the action {name} of {target.entity.name}")
    check_etag(call, record, required=False)
    root = f"{call.address.root}/companies({work.company.id})"
    match name:
        case "shipandinvoice":
            posted = posting.post_order(work, record)
            if posted.invoice is not None:
                return Outcome(204, location=f"{root}/salesInvoices({posted.invoice.id})")
            return Outcome(204, location=f"{root}/salesOrders({record.id})")
        case "post" | "postandsend":
            if name == "postandsend":
                posting.send_invoice(record)
            posting.post_invoice(work, record)
        case "cancel" | "cancelandsend":
            posting.cancel_invoice(work, record)
            if name == "cancelandsend":
                posting.send_invoice(record)
        case "send":
            posting.send_invoice(record)
        case _:
            raise errors.NotEmulatedError("makeCorrectiveCreditMemo (sales credit memos)")
    return Outcome(204, location=f"{root}/salesInvoices({record.id})")
