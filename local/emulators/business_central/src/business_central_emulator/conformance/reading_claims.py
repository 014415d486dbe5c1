"""Claims about addresses, answers, values and `$metadata`: reads only."""

import base64
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from typing import Any, Final

from business_central_emulator.conformance.asking import Answer, World
from business_central_emulator.conformance.claims import Claim, Must, found_in, is_ok, refused, rows_are
from business_central_emulator.data.schema import EDM, ENTITIES, Entity

_GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,2}[1-9])?Z")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_NOBODY: Final = "00000000-0000-4000-8000-000000000001"
_EDM: Final = "{http://docs.oasis-open.org/odata/ns/edm}"
_METADATA: Final = "$metadata of a version 26 tenant"
_CAPTURES: Final = "recorded answers"


def _etag_is_known(row: dict[str, Any]) -> bool:
    """Return whether an ETag is `W/"<base64>"` of `'<n>;<n digits>;00;'`, as recorded."""
    found = re.fullmatch(r'W/"([A-Za-z0-9+/=]+)"', row.get("@odata.etag", ""))
    inner = re.fullmatch(rb"'(\d+);(\d+);00;'", base64.b64decode(found[1])) if found else None
    return inner is not None and len(inner[2]) - int(inner[1]) in (0, 1)


def _all(rows: Iterable[dict[str, Any]], kind: re.Pattern[str], end: str) -> bool:
    values = [value for row in rows for name, value in row.items() if name.endswith(end) and "@" not in name]
    return bool(values) and all(kind.fullmatch(str(value)) for value in values)


def _types(answer: Answer) -> dict[str, ET.Element]:
    """Return the entity types of a `$metadata` document, by name."""
    return {one.get("Name", ""): one for one in ET.fromstring(answer.body).iter(f"{_EDM}EntityType")}  # noqa: S314 - of the service that is asked


def _declares(entity: Entity) -> Must:
    """The type has every property that the emulator serves, of the same EDM type and length."""

    def look(answer: Answer, _: World) -> str:
        if answer.status != 200:
            return answer.said
        known = _types(answer).get(entity.type_name)
        if known is None:
            return f"no type {entity.type_name}"
        there = {one.get("Name"): one for one in known.iter(f"{_EDM}Property")}
        differ = []
        for column in entity.columns:
            if column.hidden:
                continue
            one = there.get(column.name)
            if one is None:
                differ.append(f"{column.name} missing")
            elif not column.enum and one.get("Type") != EDM[column.kind]:
                differ.append(f"{column.name} is {one.get('Type')}")
            elif column.length and one.get("MaxLength") not in (None, str(column.length)):
                differ.append(f"{column.name} has {one.get('MaxLength')} characters")
        return ", ".join(differ)

    return Must(f"every property of {entity.type_name} as the emulator serves it", look)


def _xml_says(words: str, wanted: re.Pattern[bytes], *, absent: bool = False) -> Must:
    return found_in(words, lambda answer: (wanted.search(answer.body) is None) is absent)


def _claim(id_: str, says: str, source: str, request: str, must: Must, **headers: str) -> Claim:
    return Claim(id=id_, says=says, source=source, request=f"GET {request}", must=must, headers=headers)


_ADDRESSES: Final = (
    _claim(
        "companies",
        "Companies are listed with id and name.",
        _METADATA,
        "/companies",
        rows_are("each with a GUID and a name", lambda row: bool(_GUID.fullmatch(row["id"]) and row["name"])),
    ),
    _claim(
        "companies-etag",
        "Rows of companies carry no ETag.",
        _METADATA,
        "/companies",
        rows_are("none with @odata.etag", lambda row: "@odata.etag" not in row),
    ),
    _claim(
        "companies-columns",
        "A company has systemVersion, displayName, businessProfileId and its four stamps.",
        _METADATA,
        "/companies",
        rows_are(
            "with them",
            lambda row: (
                {
                    "systemVersion",
                    "displayName",
                    "businessProfileId",
                    "timestamp",
                    "systemCreatedAt",
                    "systemModifiedBy",
                }
                <= row.keys()
            ),
        ),
    ),
    _claim(
        "address-short",
        "The tenant may be left out of the address.",
        "docs: API endpoint structure",
        "{short}/companies",
        is_ok(),
    ),
    _claim(
        "address-unknown",
        "An unknown environment is 404 in XML with the code NoEnvironment.",
        _CAPTURES,
        "{service}/v2.0/nosuchenvironment/api/v2.0/companies",
        refused(404, names=("<code>NoEnvironment</code>",)),
    ),
    _claim(
        "company-unknown",
        "An unknown company is 404 Internal_CompanyNotFound.",
        "docs: error codes",
        f"/companies({_NOBODY})/items?$top=1",
        refused(404, code="Internal_CompanyNotFound"),
    ),
    _claim(
        "company-query",
        "The company may be named by `?company=` with its id.",
        "docs: API endpoint structure",
        "/items?$top=1&company={company}",
        is_ok(),
    ),
    _claim(
        "company-header",
        "The company may be named by the header `Company`.",
        "docs: OData batch",
        "/items?$top=1",
        is_ok(),
        Company="{company}",
    ),
    _claim(
        "segment-unknown",
        "An unknown set is 404 BadRequest_ResourceNotFound or BadRequest_NotFound.",
        _CAPTURES,
        "contactz",
        refused(404, names=("contactz",)),
    ),
    _claim("segment-case", "Names of sets are found in any case.", _CAPTURES, "Items?$top=1", is_ok()),
    _claim(
        "record-unknown",
        "A record that is not there is 404 BadRequest_ResourceNotFound.",
        _CAPTURES,
        f"items({_NOBODY})",
        refused(404, code="BadRequest_ResourceNotFound"),
    ),
    _claim(
        "record-request-id",
        "The correlation id of an error is the header request-id.",
        _CAPTURES,
        f"items({_NOBODY})",
        Must(
            "404, request-id in the message",
            lambda answer, _: (
                ""
                if (answer.headers.get("request-id") or "-").encode() in answer.body
                else f"{answer.status}, another id"
            ),
        ),
    ),
    _claim("key-syntax", "A key that is no GUID is refused with 400 or 404.", _CAPTURES, "items(x)", refused(400, 404)),
    _claim("key-alternate", "`number` is no key.", _METADATA, "items(number='1000')", refused(400, 404, 501)),
    _claim("key", "A record is found by its id, without quotes.", _METADATA, "items({item})", is_ok()),
    _claim(
        "navigation",
        "Records below a record are reached by its navigation.",
        _METADATA,
        "items({item})/itemVariants",
        is_ok(),
    ),
    _claim(
        "navigation-lines",
        "Lines of an order are reached through it.",
        "AL: APIV2SalesOrderLines",
        "salesOrders({order})/salesOrderLines",
        is_ok(),
    ),
    _claim(
        "lines-bare",
        "Lines of orders without their document are refused.",
        "AL: APIV2SalesOrderLines",
        "salesOrderLines",
        refused(400, code="Application_DialogException"),
    ),
    _claim(
        "lines-bare-invoice",
        "Lines of invoices without their document are refused.",
        "AL: APIV2SalesInvoiceLines",
        "salesInvoiceLines",
        refused(400, code="Application_DialogException"),
    ),
    _claim(
        "lines-by-document",
        "A filter by documentId is enough for lines.",
        "AL: APIV2SalesOrderLines",
        "salesOrderLines?$filter=documentId eq {order}",
        is_ok(),
    ),
    _claim(
        "lines-shipment",
        "Lines of shipments are read without their document.",
        "AL: APIV2SalesShipmentLines",
        "salesShipmentLines?$top=1",
        is_ok(),
    ),
    _claim(
        "token-missing",
        "Without a token the answer is 401.",
        "docs: authentication",
        "/companies",
        refused(401),
        Authorization="",
    ),
    _claim(
        "token-wrong",
        "With a token that is none the answer is 401.",
        "docs: authentication",
        "/companies",
        refused(401),
        Authorization="Bearer x",
    ),
    Claim(
        id="options",
        says="OPTIONS is 405.",
        source="recorded by a public client",
        request="OPTIONS items",
        must=refused(405),
    ),
)
_ANSWERS: Final = (
    _claim(
        "context",
        "`@odata.context` names the set below the company.",
        _CAPTURES,
        "items?$top=1",
        found_in(
            "$metadata#companies(<id>)/items",
            lambda a: (
                re.search(r"/\$metadata#companies\([0-9a-f-]{36}\)/items$", a.document.get("@odata.context", ""))
                is not None
            ),
        ),
    ),
    _claim(
        "context-record",
        "The context of one record ends with /$entity.",
        _CAPTURES,
        "items({item})",
        found_in(
            "$metadata#...items/$entity", lambda a: a.document.get("@odata.context", "").endswith("/items/$entity")
        ),
    ),
    _claim(
        "context-select",
        "`$select` is named in the context.",
        "OData 4.0",
        "items?$top=1&$select=number,displayName",
        found_in(
            "items(number,displayName)",
            lambda a: a.document.get("@odata.context", "").endswith("/items(number,displayName)"),
        ),
    ),
    _claim(
        "type",
        "JSON comes with minimal metadata, streamed.",
        _CAPTURES,
        "items?$top=1",
        found_in("odata.metadata=minimal", lambda a: "odata.metadata=minimal" in a.headers.get("Content-Type", "")),
    ),
    _claim(
        "version",
        "OData-Version is 4.0.",
        _CAPTURES,
        "items?$top=1",
        found_in("4.0", lambda a: a.headers.get("OData-Version") == "4.0"),
    ),
    _claim(
        "request-id",
        "Every answer bears request-id and ms-correlation-x.",
        _CAPTURES,
        "items?$top=1",
        found_in("both", lambda a: "request-id" in a.headers and "ms-correlation-x" in a.headers),
    ),
    _claim(
        "vary",
        "Answers vary by Accept-Encoding and may be read by pages of any origin.",
        _CAPTURES,
        "items?$top=1",
        found_in(
            "both headers",
            lambda a: (
                "Accept-Encoding" in a.headers.get("Vary", "") and a.headers.get("Access-Control-Allow-Origin") == "*"
            ),
        ),
    ),
    _claim(
        "metadata-none",
        "Without metadata there is no context and no ETag.",
        "docs: OData client performance",
        "items?$top=1",
        found_in("neither", lambda a: "@odata.context" not in a.document and "@odata.etag" not in a.rows[0]),
        Accept="application/json;odata.metadata=none",
    ),
    _claim(
        "empty",
        "Nothing found is an empty list.",
        _CAPTURES,
        f"items?$filter=id eq {_NOBODY}",
        found_in("value: []", lambda a: a.document.get("value") == []),
    ),
    _claim(
        "etag",
        "An ETag is weak, in base64, of a number with its length.",
        _CAPTURES,
        "items?$top=20",
        rows_are("each of that form", _etag_is_known),
    ),
    _claim(
        "times",
        "Times are UTC with at most three digits, trailing zeros cut.",
        _CAPTURES,
        "items?$top=50",
        found_in("each of that form", lambda a: _all(a.rows, _TIME, "DateTime")),
    ),
    _claim(
        "dates",
        "Dates are dates; none is 0001-01-01.",
        _CAPTURES,
        "salesInvoices?$top=20",
        found_in("each of that form", lambda a: _all(a.rows, _DATE, "Date")),
    ),
    _claim(
        "no-null-items",
        "No value of an item is null.",
        _CAPTURES,
        "items?$top=50",
        rows_are("none with null", lambda row: None not in row.values()),
    ),
    _claim(
        "no-null-orders",
        "No value of an order is null.",
        _CAPTURES,
        "salesOrders?$top=5",
        rows_are("none with null", lambda row: None not in row.values(), at_least=0),
        Data_Access_Intent="ReadOnly",
    ),
    _claim(
        "ids",
        "Ids are GUIDs in lower case.",
        _CAPTURES,
        "itemVariants?$top=50",
        rows_are("each", lambda row: bool(_GUID.fullmatch(row["id"])), at_least=0),
    ),
    _claim(
        "decimals",
        "Decimals are numbers.",
        _CAPTURES,
        "items?$top=50",
        rows_are("each a number", lambda row: isinstance(row["unitPrice"], int | float)),
    ),
    _claim(
        "intent-read-only",
        "A read may ask for the replica.",
        "docs: tips for connect apps",
        "items?$top=1",
        is_ok(),
        Data_Access_Intent="ReadOnly",
    ),
    _claim(
        "intent-read-write",
        "A read may ask for the primary.",
        "docs: tips for connect apps",
        "items?$top=1",
        is_ok(),
        Data_Access_Intent="ReadWrite",
    ),
    _claim(
        "language",
        "Codes of errors are the same in every language.",
        "docs: tips for connect apps",
        f"items({_NOBODY})",
        refused(404, code="BadRequest_ResourceNotFound"),
        Accept_Language="de-DE",
    ),
    _claim(
        "service-document",
        "The service document lists the sets.",
        "docs: API endpoint structure",
        "/",
        found_in("salesOrders among them", lambda a: "salesOrders" in {row.get("name") for row in a.rows}),
    ),
    _claim(
        "definitions",
        "entityDefinitions tells sets and their properties.",
        "docs: transition to API v2.0",
        "entityDefinitions",
        rows_are("each with entitySetName", lambda row: "entitySetName" in row),
    ),
    _claim("subscriptions", "Subscriptions are listed without a company.", _METADATA, "/subscriptions", is_ok()),
    _claim(
        "subscription-unknown",
        "An unknown subscription is 404.",
        _METADATA,
        "/subscriptions('nosuchsubscription')",
        refused(404),
    ),
    _claim(
        "webhooks",
        "webhookSupportedResources names items, orders, invoices and customers.",
        "docs: working with webhooks",
        "{runtime}/companies({company})/webhookSupportedResources",
        found_in(
            "all four",
            lambda a: (
                {"v2.0/items", "v2.0/salesOrders", "v2.0/salesInvoices", "v2.0/customers"}
                <= {row.get("resource") for row in a.rows}
            ),
        ),
    ),
    _claim(
        "webhooks-filter",
        "A star in a filter on resources is a wildcard.",
        "docs: working with webhooks",
        "{runtime}/companies({company})/webhookSupportedResources?$filter=resource eq 'v2.0*'",
        rows_are("only of v2.0", lambda row: row["resource"].startswith("v2.0")),
    ),
    _claim(
        "webhook-log",
        "The log of the webhook sender is read below a company.",
        "AL: APIWebhookLogs",
        "{runtime}/companies({company})/webhookLogs",
        is_ok(),
    ),
    _claim(
        "environments",
        "The environments of the tenant are listed.",
        "docs: get environments",
        "{service}/environments/v1.2",
        rows_are("each with name, type and aadTenantId", lambda row: {"name", "type", "aadTenantId"} <= row.keys()),
    ),
)
_DOCUMENT: Final = (
    _claim(
        "metadata-xml",
        "$metadata is XML of the namespace Microsoft.NAV.",
        _METADATA,
        "/$metadata",
        _xml_says("Microsoft.NAV", re.compile(rb'<Schema[^>]* Namespace="Microsoft.NAV"')),
    ),
    _claim(
        "metadata-keys",
        "Keys can't be null.",
        _METADATA,
        "/$metadata",
        _xml_says('id with Nullable="false"', re.compile(rb'<Property Name="id" Type="Edm.Guid" Nullable="false"')),
    ),
    _claim(
        "metadata-bindings",
        "Sets bind no navigation.",
        _METADATA,
        "/$metadata",
        _xml_says("no NavigationPropertyBinding", re.compile(rb"<NavigationPropertyBinding"), absent=True),
    ),
    _claim(
        "metadata-actions",
        "Bound actions are declared.",
        _METADATA,
        "/$metadata",
        _xml_says("shipAndInvoice", re.compile(rb'<Action Name="shipAndInvoice" IsBound="true"')),
    ),
    _claim(
        "metadata-constraints",
        "Navigations have referential constraints.",
        _METADATA,
        "/$metadata",
        _xml_says("ReferentialConstraint", re.compile(rb"<ReferentialConstraint ")),
    ),
    *(
        _claim(
            f"type-{name}",
            f"{ENTITIES[name].type_name} has the properties that the emulator serves.",
            _METADATA,
            "/$metadata",
            _declares(ENTITIES[name]),
        )
        for name in (
            "companies",
            "items",
            "itemVariants",
            "customers",
            "salesOrders",
            "salesOrderLines",
            "salesInvoices",
            "salesInvoiceLines",
            "salesShipments",
            "salesShipmentLines",
            "subscriptions",
        )
    ),
)
READING: Final = (*_ADDRESSES, *_ANSWERS, *_DOCUMENT)
