"""Claims about query options, pages and batches: reads only (a batch is a POST whose parts are reads)."""

import re
from typing import Any, Final

from business_central_emulator.conformance.asking import Answer, World
from business_central_emulator.conformance.claims import Claim, Must, found_in, is_ok, refused, rows_are

_LIVE: Final = "live tests of public clients"
_LIMITS: Final = "docs: OData known limitations"
_FILTERS: Final = "docs: using filter expressions in OData URIs"
_PAGES: Final = "docs: server-driven paging; live measurements"
_NOT_IMPLEMENTED: Final = "BadRequest_MethodNotImplemented"


def _goes_on(answer: Answer, world: World) -> str:
    """The next link leads to rows that were not in the page."""
    if answer.status != 200:
        return answer.said
    link = answer.document.get("@odata.nextLink")
    if link is None:
        return "no next link"
    following = world.ask(f"GET {link}", Prefer="odata.maxpagesize=2")
    seen = {row["id"] for row in answer.rows} & {row["id"] for row in following.rows}
    return (
        "" if following.status == 200 and following.rows and not seen else f"{following.said}, {len(seen)} rows again"
    )


def _link_is_known(answer: Answer) -> bool:
    link, last = answer.document.get("@odata.nextLink", ""), answer.rows[-1]["id"]
    return re.search(rf"[?&]aid=FIN&\$skiptoken={last}$", link) is not None


def _is_whole_set(answer: Answer, world: World) -> str:
    """A lambda is dropped without a word: the count is that of the whole set."""
    everything = world.ask("GET items?$top=1&$count=true").document.get("@odata.count")
    counted = answer.document.get("@odata.count")
    return "" if answer.status == 200 and counted == everything else f"{answer.said}, filtered"


def _as_one_by_one(answer: Answer, world: World) -> str:
    """The count as text, behind a byte order mark, is that of the rows."""
    counted = world.ask("GET items?$top=1&$count=true").document.get("@odata.count")
    if answer.status != 200:
        return answer.said
    if not answer.body.startswith(b"\xef\xbb\xbf"):
        return "no byte order mark"
    return "" if answer.body.decode("utf-8-sig") == str(counted) else "another number than @odata.count"


def _ordered(answer: Answer) -> bool:
    prices = [row["unitPrice"] for row in answer.rows]
    return prices == sorted(prices, reverse=True)


def _parts(*statuses: int) -> Must:
    def look(answer: Answer, _: World) -> str:
        if answer.status != 200:
            return answer.said
        got = tuple(part.get("status") for part in answer.document.get("responses", ()))
        return "" if got == statuses else f"parts answered {got}"

    return Must(f"200, its parts {', '.join(map(str, statuses))}", look)


def _query(id_: str, says: str, source: str, query: str, must: Must, **headers: str) -> Claim:
    return Claim(id=id_, says=says, source=source, request=f"GET items?{query}", must=must, headers=headers)


def _batch(id_: str, says: str, must: Must, *urls: str, address: str = "/$batch", **headers: str) -> Claim:
    parts = [{"id": f"r{at}", "method": "GET", "url": url} for at, url in enumerate(urls, 1)]
    return Claim(
        id=id_,
        says=says,
        source="docs: OData batch",
        request=f"POST {address}",
        must=must,
        body={"requests": parts},
        headers=headers,
    )


def _in_company(*urls: str) -> tuple[str, ...]:
    return tuple(f"companies({{company}})/{url}" for url in urls)


_FILTERING: Final = (
    _query(
        "filter-unknown",
        "A property that is not there is 400 BadRequest and named.",
        "recorded answers",
        "$filter=nosuch eq 1",
        refused(400, code="BadRequest", names=("nosuch", "Microsoft.NAV.item")),
    ),
    _query(
        "filter-or-fields",
        "`or` over two properties is refused.",
        "recorded answers",
        "$filter=number eq 'A' or displayName eq 'B'",
        refused(501, 400, code=_NOT_IMPLEMENTED),
    ),
    _query(
        "filter-or-field",
        "`or` over one property is taken.",
        _LIMITS,
        "$filter=number eq 'NOSUCH1' or number eq 'NOSUCH2'",
        is_ok(),
    ),
    _query(
        "filter-lambda",
        "A lambda is dropped in silence.",
        _LIMITS,
        "$filter=itemVariants/any(v:v/code eq 'X')&$top=1&$count=true",
        Must("200, all rows", _is_whole_set),
    ),
    _query("filter-guid-quoted", "A GUID in quotes is refused.", _FILTERS, "$filter=id eq '{item}'", refused(400)),
    _query("filter-guid", "A GUID stands without quotes.", _FILTERS, "$filter=id eq {item}", rows_are("one row", bool)),
    _query(
        "filter-time",
        "A time stands without quotes.",
        _FILTERS,
        "$filter=lastModifiedDateTime ge 1900-01-01T00:00:00Z&$top=1",
        is_ok(),
    ),
    _query(
        "filter-time-quoted",
        "A time in quotes is refused.",
        _FILTERS,
        "$filter=lastModifiedDateTime ge '2020-01-01T00:00:00Z'&$top=1",
        refused(400),
    ),
    _query(
        "filter-enum",
        "An enum is compared with its encoded name in quotes.",
        _LIVE,
        "$filter=type eq 'Non_x002D_Inventory'",
        rows_are("of that type alone", lambda row: row["type"] == "Non_x002D_Inventory", at_least=0),
    ),
    _query(
        "filter-case",
        "Names of properties are found in any case.",
        _LIVE,
        "$filter=NUMBER eq '{item_number}'",
        rows_are("the item", lambda row: "number" in row),
    ),
    _query(
        "filter-too-long",
        "A code longer than its field is 400.",
        _LIVE,
        f"$filter=number eq '{'A' * 21}'",
        refused(400),
    ),
    _query(
        "filter-startswith",
        "startswith is known.",
        _FILTERS,
        "$filter=startswith(displayName,'a')&$top=5",
        rows_are("rows that begin so", lambda row: row["displayName"].lower().startswith("a"), at_least=0),
    ),
    _query(
        "filter-contains",
        "contains is known.",
        _FILTERS,
        "$filter=contains(displayName,'a')&$top=5",
        rows_are("rows with it", lambda row: "a" in row["displayName"].lower(), at_least=0),
    ),
    _query(
        "filter-in",
        "`in` is refused below schema version 2.1.",
        _LIVE,
        "$filter=number in ('{item_number}')",
        refused(501, 400, code=_NOT_IMPLEMENTED),
    ),
    _query(
        "filter-in-21",
        "`in` is known under schema version 2.1.",
        _LIVE,
        "$schemaversion=2.1&$filter=number in ('{item_number}')",
        rows_are("the item", bool),
    ),
    _query(
        "filter-and",
        "`and` over two properties is taken.",
        _FILTERS,
        "$filter=unitPrice ge 0 and blocked eq false&$top=3",
        rows_are("rows that are so", lambda row: row["unitPrice"] >= 0 and row["blocked"] is False, at_least=0),
    ),
    _query("filter-syntax", "Half a filter is 400.", "recorded answers", "$filter=number eq", refused(400)),
    _query(
        "filter-overflow",
        "A number that no decimal holds is refused.",
        ".NET: Decimal",
        "$filter=unitPrice gt 1e400",
        refused(400, 501),
    ),
)
_SHAPING: Final = (
    _query(
        "select",
        "`$select` leaves the ETag.",
        _LIVE,
        "$top=1&$select=number",
        rows_are("ETag and number alone", lambda row: list(row) == ["@odata.etag", "number"]),
    ),
    _query(
        "select-case",
        "`$select` takes any case and answers in its own.",
        _LIVE,
        "$top=1&$select=NUMBER",
        rows_are("`number`", lambda row: "number" in row),
    ),
    _query(
        "orderby",
        "`$orderby` sorts, descending too.",
        _LIMITS,
        "$top=20&$orderby=unitPrice desc",
        found_in("sorted", _ordered),
    ),
    _query(
        "expand",
        "`$expand` brings the rows below.",
        "docs: rate limits",
        "$top=1&$expand=itemVariants",
        rows_are("each with a list", lambda row: isinstance(row["itemVariants"], list)),
    ),
    _query(
        "expand-options",
        "`$expand` takes options of its own.",
        "docs: rate limits",
        "$top=1&$expand=itemVariants($select=code;$top=1)",
        rows_are("codes alone", lambda row: all(set(one) <= {"@odata.etag", "code"} for one in row["itemVariants"])),
    ),
    _query(
        "expand-unknown",
        "An unknown navigation is 400 and named.",
        "recorded answers",
        "$top=1&$expand=nosuch",
        refused(400, code="BadRequest", names=("nosuch",)),
    ),
    _query(
        "count",
        "`$count=true` counts what the filter leaves, not the page.",
        _LIVE,
        "$top=1&$count=true",
        found_in("a number", lambda a: a.document.get("@odata.count", 0) >= len(a.rows)),
    ),
    Claim(
        id="count-path",
        says="`/$count` is a number behind a byte order mark.",
        source=_LIVE,
        request="GET items/$count",
        must=Must("200, the number", _as_one_by_one),
    ),
    _query(
        "skip",
        "`$skip` leaves out rows.",
        _PAGES,
        "$top=1&$skip=1",
        found_in("one row or none", lambda a: len(a.rows) <= 1),
    ),
    _query("top-twice", "An option given twice is 400.", "Microsoft's OData URI parser", "$top=1&$top=2", refused(400)),
    _query(
        "url-long",
        "An address above 8,099 characters is 414.",
        _LIVE,
        f"$filter=displayName eq '{'x' * 8100}'",
        refused(414),
    ),
    _query(
        "page-size",
        "A page is as long as is asked for.",
        _PAGES,
        "$select=id",
        found_in(
            "two rows and Preference-Applied",
            lambda a: len(a.rows) == 2 and "odata.maxpagesize" in a.headers.get("Preference-Applied", ""),
        ),
        Prefer="odata.maxpagesize=2",
    ),
    _query(
        "page-link",
        "A next link ends with aid=FIN and the id of the last row.",
        "recorded answers",
        "$select=id,number",
        found_in("such a link", _link_is_known),
        Prefer="odata.maxpagesize=2",
    ),
    _query(
        "page-options",
        "A next link repeats the options.",
        "recorded answers",
        "$select=id,number&$filter=blocked eq false",
        found_in(
            "filter and select in it",
            lambda a: all(word in a.document["@odata.nextLink"] for word in ("filter=", "select=")),
        ),
        Prefer="odata.maxpagesize=1",
    ),
    _query(
        "page-next",
        "A next link brings the rows that follow.",
        _PAGES,
        "$select=id",
        Must("200, other rows", _goes_on),
        Prefer="odata.maxpagesize=2",
    ),
    _query(
        "page-top",
        "`$top` within a page leaves no link.",
        _PAGES,
        "$top=2&$select=id",
        found_in("no next link", lambda a: "@odata.nextLink" not in a.document),
    ),
)
_BATCHES: Final = (
    _batch(
        "batch",
        "The parts of a batch are answered in order.",
        _parts(200, 200),
        *_in_company("items?$top=1", "customers?$top=1"),
    ),
    _batch(
        "batch-ids",
        "Each part bears its id.",
        found_in("r1, r2", lambda a: [part["id"] for part in a.document["responses"]] == ["r1", "r2"]),
        *_in_company("items?$top=1", "items?$top=1"),
    ),
    _batch("batch-stops", "The first failure ends a batch.", _parts(404), *_in_company("nosuch", "items?$top=1")),
    _batch(
        "batch-goes-on",
        "With odata.continue-on-error it goes on.",
        _parts(404, 200),
        *_in_company("nosuch", "items?$top=1"),
        Prefer="odata.continue-on-error",
    ),
    _batch(
        "batch-company",
        "The company of a batch is that of its parts.",
        _parts(200),
        "items?$top=1",
        address="/$batch?company={company}",
    ),
    _batch(
        "batch-headers",
        "Names of headers come back in lower case.",
        found_in(
            "content-type",
            lambda a: all(name == name.lower() for part in a.document["responses"] for name in part["headers"]),
        ),
        *_in_company("items?$top=1"),
    ),
    _batch(
        "batch-101",
        "More than a hundred parts are refused.",
        Must(
            "an error",
            lambda a, _: "" if a.status >= 400 or any(p["status"] >= 400 for p in a.document["responses"]) else a.said,
        ),
        *_in_company(*["items?$top=1"] * 101),
    ),
)
QUERIES: Final = (*_FILTERING, *_SHAPING, *_BATCHES)


def parts_of(answer: Answer) -> list[dict[str, Any]]:
    """Return the answered parts of a batch."""
    found = answer.document.get("responses", [])
    return found if isinstance(found, list) else []
