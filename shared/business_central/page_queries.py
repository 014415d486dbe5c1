"""Which URL below `/api/` a question stands for: the options of a page, of records by id, and of the cuts of a set."""

from collections.abc import Callable, Sequence
from typing import Final

from shared.business_central import odata
from shared.business_central.entities import Entity
from shared.business_central.metadata import MODIFIED
from shared.business_central.port import PageAsk
from shared.clock import format_time


def page_resource(ask: PageAsk) -> str:
    """Return the collection that a page is of: the entity's, or that of its expanded records."""
    name = ask.entity.expanded_set if ask.what == "expanded" else ask.entity.entity_set
    return f"api/{ask.entity.route}/companies({ask.company})/{name}"


def page_query(ask: PageAsk) -> str:
    """Return the options of the first page of a collection; its links repeat them."""
    entity = ask.entity
    clauses = []
    if ask.since is not None:
        clauses.append(f"lastModifiedDateTime ge {format_time(ask.since)}")
    if ask.low:
        clauses.append(f"{entity.sort} ge {odata.text_literal(ask.low)}")
    if ask.high:
        clauses.append(f"{entity.sort} lt {odata.text_literal(ask.high)}")
    return odata.query({
        "select": _SELECTS[ask.what](entity),
        "filter": " and ".join(clauses),
        "orderby": ask.order,
        "skip": str(ask.skip or ""),
        "expand": entity.expand if ask.expanded and ask.what == "records" else "",
    })  # fmt: skip


def _selected(entity: Entity) -> str:
    """Return what is read of whole records: all, or what was chosen and what this app itself needs."""
    return ",".join(dict.fromkeys([*entity.technical, *entity.select])) if entity.select else ""


def _selected_ids(entity: Entity) -> str:
    named = (entity.key, entity.sort, "status" if entity.posts else "", MODIFIED if entity.has_times else "")
    return ",".join(filter(None, named))


_SELECTS: Final[dict[str, Callable[[Entity], str]]] = {
    "records": _selected,
    "expanded": lambda entity: f"id,{entity.expanded_parent},{MODIFIED}",
    "ids": _selected_ids,
}


def records_query(entity: Entity, keys: Sequence[str], *, expanded: bool) -> str:
    """Return the options that read records by id."""
    return odata.query({
        "select": _selected(entity), "filter": odata.any_id(keys, entity.key),
        "expand": entity.expand if expanded else "",
    })  # fmt: skip


def probe_query(entity: Entity, *, expanded: bool) -> str:
    """Return the options that read one record at most, with what is read of it in earnest."""
    return odata.query({"top": "1", "expand": entity.expand} if expanded else {"top": "1", "select": entity.key})


def count_query(entity: Entity) -> str:
    """Return the options that count a set and read next to nothing of it."""
    return odata.query({"select": entity.key, "top": "1", "count": "true"})


def cut_query(entity: Entity, skip: int) -> str:
    """Return the options that read the sort value at one place of a set.

    `$skip` is a positional scan, which is why only few probes use it; the pages themselves never do.
    """
    select = f"{entity.key},{entity.sort}"
    return odata.query({"select": select, "orderby": entity.sort, "skip": str(skip), "top": "1"})
