"""Which URL below `/api/` a question stands for: the options of a page, of records by id, and of the cuts of a set."""

from collections.abc import Sequence

from shared.business_central import odata
from shared.business_central.entities import Entity
from shared.business_central.port import PageAsk
from shared.clock import format_time


def page_resource(ask: PageAsk) -> str:
    """Return the collection that a page is of: the entity's, or that of its expanded records."""
    name = ask.entity.expanded_set if ask.what == "expanded" else ask.entity.name
    return f"api/{ask.entity.route}/companies({ask.company})/{name}"


def page_query(ask: PageAsk) -> str:
    """Return the options of the first page of a collection; its links repeat them."""
    clauses = []
    if ask.since is not None:
        clauses.append(f"lastModifiedDateTime ge {format_time(ask.since)}")
    if ask.low:
        clauses.append(f"number ge {odata.text_literal(ask.low)}")
    if ask.high:
        clauses.append(f"number lt {odata.text_literal(ask.high)}")
    select = ""
    if ask.what == "expanded":
        select = f"id,{ask.entity.expanded_parent},lastModifiedDateTime"
    elif ask.what == "ids":
        status = "status," if ask.entity.posts else ""
        select = f"id,number,{status}lastModifiedDateTime"
    return odata.query({
        "select": select,
        "filter": " and ".join(clauses),
        "orderby": ask.order,
        "skip": str(ask.skip or ""),
        "expand": ask.entity.expand if ask.expanded and ask.what == "records" else "",
    })  # fmt: skip


def records_query(entity: Entity, keys: Sequence[str], *, expanded: bool) -> str:
    """Return the options that read records by id."""
    return odata.query({"filter": odata.any_id(keys), "expand": entity.expand if expanded else ""})


def probe_query(entity: Entity, *, expanded: bool) -> str:
    """Return the options that read one record at most, with what is read of it in earnest."""
    return odata.query({"top": "1", "expand": entity.expand} if expanded else {"top": "1", "select": "id"})


def count_query() -> str:
    """Return the options that count a set and read next to nothing of it."""
    return odata.query({"select": "id", "top": "1", "count": "true"})


def cut_query(skip: int) -> str:
    """Return the options that read the `number` at one place of a set.

    `$skip` is a positional scan, which is why only few probes use it; the pages themselves never do.
    """
    return odata.query({"select": "id,number", "orderby": "number", "skip": str(skip), "top": "1"})
