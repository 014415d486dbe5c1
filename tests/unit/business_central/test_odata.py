"""OData: literals and links that cannot be bent to mean something else, errors read from whatever a gateway says."""

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from business_central_emulator.data.schema import ENTITIES
from business_central_emulator.odata import filter as odata_filter
from hypothesis import given
from hypothesis import strategies as st

from shared.business_central import odata
from shared.errors import (
    BCConflict,
    BCDenied,
    BCError,
    BCNotFound,
    BCRejected,
    BCThrottled,
    BCUnavailable,
)

API = "https://api.businesscentral.dynamics.com"
COMPANY = "1f0a8d5e-91d3-f011-8d4c-6045bd1a2c10"
RESOURCE = f"api/v2.0/companies({COMPANY})/items"
HOME = f"{API}/v2.0/lmints.io/production/{RESOURCE}"
characters = st.characters(exclude_categories=["Cs"])


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="*?"), max_size=20))
def test_a_text_literal_means_its_text_to_the_server(value: str) -> None:
    """Quotes inside are doubled: no value ends its literal early or brings an operator in."""
    parsed = odata_filter.parse(f"number eq {odata.text_literal(value)}", ENTITIES["items"])
    assert parsed is not None
    found = odata_filter.equal_values(parsed)
    assert found is not None
    assert [text.upper() for text in found[1]] == [value.strip().upper()]


@given(st.dictionaries(st.sampled_from(["filter", "select", "orderby", "expand"]), st.text(characters, max_size=30)))
def test_query_values_come_back_whole(options: dict[str, str]) -> None:
    """Ampersands, plus signs, percent signs and line breaks inside a value stay inside it."""
    parts = urlsplit("https://x.example/" + odata.query(options))
    assert not parts.fragment
    found = {name.removeprefix("$"): values for name, values in parse_qs(parts.query, strict_parsing=False).items()}
    assert found == {name: [value] for name, value in options.items() if value}


@pytest.mark.parametrize("value", ["WEB-20260211-0042", "po 17/3", "a:b,c;d#e+f.g", "", "103001"])
def test_an_ordinary_number_is_plain(value: str) -> None:
    """Such values are compared by BC as they are."""
    assert odata.is_plain(value)


@pytest.mark.parametrize(
    "value", ["a*", "a?", "@a", "a|b", "a&b", "1..9", "<>x", "a'b", "(a)", "ä", "a=b", "%", "a\nb"]
)
def test_what_al_takes_for_a_pattern_is_not_plain(value: str) -> None:
    """AL's own filter language shines through `eq` (reference 4.2): such values are compared by us."""
    assert not odata.is_plain(value)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("PÖ17", "17"),
        ("R&D", "R"),
        ("A..B.C", "B.C"),
        ("O'NEIL & CO", "NEIL"),
        ("(*)", ""),
        ("PO 1*", "PO 1"),
        ("", ""),
    ],
)
def test_the_longest_part_of_a_number_that_al_takes_as_it_is(value: str, part: str) -> None:
    """Every document of the number holds it, so a filter by it leaves none out."""
    assert odata.plain_part(value) == part
    assert part in value
    assert odata.is_plain(part)


def test_many_ids_are_one_filter_on_one_field() -> None:
    """`or` over different fields is refused by BC, over one it is fine."""
    assert odata.any_id(["a", "b"]) == "id eq a or id eq b"


@pytest.mark.parametrize(
    "link",
    [
        HOME,
        f"{HOME}?aid=FIN&$skiptoken=5de545bc-f6f9-ef11-9344-6045bdc8c234",
        f"{API}/v2.0/Production/{RESOURCE}?aid=FIN",
        HOME.replace("lmints.io", "2c9f3b5a-7d41-4e0b-9a61-0f6d5b8c4e21").replace("(", "%28").replace(")", "%29"),
        HOME.replace(COMPANY, COMPANY.upper()),
        HOME.replace("api.businesscentral", "API.BusinessCentral"),
        HOME.replace(API, API + ":443"),
        f"{HOME}?tenant=LMINTS.io&aid=FIN",
        f"{HOME}?tenant=2c9f3b5a-7d41-4e0b-9a61-0f6d5b8c4e21&aid=FIN",
    ],
)
def test_a_link_to_the_same_collection_is_followed(link: str) -> None:
    """BC adds or drops the tenant segment and escapes as it likes."""
    assert odata.is_link_within(link, HOME)


@pytest.mark.parametrize(
    "link",
    [
        HOME.replace(API, "https://evil.example"),
        HOME.replace(API, API + ".evil.example"),
        HOME.replace(API, API + ":8443"),
        HOME.replace("https://", "https://user@"),
        HOME.replace("https://", "http://"),
        f"https://evil.example/?x={HOME}",
        f"{API}@evil.example/v2.0/x/{RESOURCE}",
        HOME.replace(COMPANY, COMPANY.replace("1", "2")),
        HOME.replace("/items", "/vendors"),
        f"{HOME}/picture",
        f"{HOME}(7b1c4a52-91d3-f011-8d4c-6045bd1a2c10)",
        HOME.replace("/api/v2.0", "/api/contoso/shop/v1.0"),
        f"{API}/v2.0/x/api/y/../{RESOURCE}",
        f"{API}/v2.0/x/%2e%2e/{RESOURCE}",
        f"{API}/v2.0/x/api/evil/{RESOURCE}",
        f"{API}/other/{RESOURCE}",
        RESOURCE,
        f"//{RESOURCE}",
        "",
        "https://[",
        "https://[::1]:x/",
        HOME.replace("lmints.io", "contoso.com"),
        HOME.replace("production", "sandbox"),
        HOME.replace("companies", "comp\ranies"),
        HOME.replace("api.business", "api.\tbusiness"),
        f" {HOME}",
        f"{HOME}?$skiptoken=1\n",
        f"{HOME}?tenant=contoso.com&aid=FIN",
        f"{HOME}?company=other&aid=FIN",
        f"{HOME}?aid=FIN&company=",
        f"{HOME}?aid=FIN&Company=other",
        HOME.replace("/v2.0/", "/v2.0/x/"),
        HOME.replace("/v2.0/lmints.io/production/", "/v2.0/"),
    ],
)
def test_no_other_link_gets_a_token(link: str) -> None:
    """Origin, path and company must be those that were asked for (P15)."""
    assert not odata.is_link_within(link, HOME)


STATUSES: list[tuple[int, type[BCError], bool]] = [
    (301, BCRejected, False), (400, BCRejected, False), (401, BCDenied, False), (403, BCDenied, False),
    (404, BCNotFound, False), (405, BCRejected, False), (408, BCUnavailable, True), (409, BCConflict, True),
    (410, BCRejected, False), (412, BCConflict, True), (413, BCRejected, False), (429, BCThrottled, True),
    (499, BCRejected, False),
    (500, BCUnavailable, True), (501, BCUnavailable, True), (502, BCUnavailable, True), (503, BCUnavailable, True),
    (504, BCUnavailable, True),
]  # fmt: skip


@pytest.mark.parametrize(("status", "kind", "retryable"), STATUSES)
@pytest.mark.parametrize("body", [b"", b"<html><h1>Bad Gateway</h1></html>", b'{"error": 5}', b"\xff\x00", b"[" * 9999])
def test_a_status_decides_when_the_body_says_nothing(
    status: int, kind: type[BCError], retryable: bool, body: bytes
) -> None:
    """Gateways answer in HTML, XML or nothing; reading the error never fails itself."""
    error = odata.error_from(status, {}, body)
    assert type(error) is kind
    assert (error.status, error.retryable, error.code) == (status, retryable, "")
    assert str(status) in str(error)


def test_bcs_own_words_are_kept_and_the_correlation_id_taken_out() -> None:
    """Code and message as BC wrote them; the id is what Microsoft asks for."""
    body = (
        b'{"error":{"code":"Application_DialogException","message":"You cannot ship more than 10 units.  '
        b'CorrelationId:  071b7020-d918-4d9d-aee9-8e476aadcdbd."}}'
    )
    error = odata.error_from(400, {"request-id": "other"}, body)
    assert error.code == "Application_DialogException"
    assert error.message == "You cannot ship more than 10 units."
    assert error.correlation_id == "071b7020-d918-4d9d-aee9-8e476aadcdbd"
    assert str(error).startswith("[071b7020-d918-4d9d-aee9-8e476aadcdbd] 400 Application_DialogException: ")


def test_without_an_id_in_the_message_the_header_is_taken() -> None:
    """`ms-correlation-x` before `request-id`."""
    body = b'{"error":{"code":"X","message":"m"}}'
    assert odata.error_from(400, {"request-id": "r"}, body).correlation_id == "r"
    assert odata.error_from(400, {"request-id": "r", "ms-correlation-x": "m"}, body).correlation_id == "m"


def test_an_xml_error_is_read() -> None:
    """The gateway's answer for an unknown environment."""
    body = b"<error xmlns='x'>\n <code>NoEnvironment</code>\n <message>Environment does not exist.</message></error>"
    error = odata.error_from(404, {}, body)
    assert (error.code, error.message) == ("NoEnvironment", "Environment does not exist.")


def test_a_long_message_is_cut() -> None:
    """An error travels into logs, rows and results; it must fit."""
    error = odata.error_from(400, {}, b'{"error":{"code":"' + b"c" * 5000 + b'","message":"' + b"m" * 50_000 + b'"}}')
    assert len(str(error)) < 1000
    assert (len(error.code), len(error.message)) == (200, 600)


def test_an_xml_error_is_looked_for_in_the_first_4096_bytes() -> None:
    """A gateway's page may be of any length."""
    body = b"<code>NoEnvironment</code><message>m</message>"
    assert odata.error_from(404, {}, body.rjust(4096)).code == "NoEnvironment"
    assert odata.error_from(404, {}, body.rjust(4097)).code == ""


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://host/x", ("https", "host", 443)), ("http://HOST", ("http", "host", 80)),
        ("https://host:8443", ("https", "host", 8443)), ("https:///x", None), ("ftp://host/x", None), ("host", None),
    ],
)  # fmt: skip
def test_an_origin_has_scheme_host_and_port(url: str, origin: tuple[str, str, int] | None) -> None:
    """The port is the scheme's where none is written; of another scheme nothing is known."""
    assert odata.origin_of(url) == origin


@pytest.mark.parametrize(
    ("status", "code"), [(409, "Internal_EntityWithSameKeyExists"), (501, "BadRequest_MethodNotImplemented")]
)
def test_some_codes_outrank_their_status(status: int, code: str) -> None:
    """A duplicate key or an unsupported query is refused for good, whatever status it came with."""
    error = odata.error_from(status, {}, b'{"error":{"code":"' + code.encode() + b'","message":"m"}}')
    assert type(error) is BCRejected


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5", 5.0), (" 120 ", 120.0), ("0", 0.0), ("999999", 3600.0), ("-1", None), ("soon", None), (None, None),
     ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("", None), ("1.5", None)],
)  # fmt: skip
def test_retry_after_is_read_in_seconds(value: str | None, seconds: float | None) -> None:
    """An absurd wait is cut to an hour; what is no number of seconds is none."""
    assert odata.parse_retry_after(value) == seconds


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("Wed, 22 Jul 2026 14:25:36 GMT", datetime(2026, 7, 22, 14, 25, 36, tzinfo=UTC)),
        ("Wed, 22 Jul 2026 16:25:36 +0200", datetime(2026, 7, 22, 14, 25, 36, tzinfo=UTC)),
        ("Fri, 31 Dec 9999 23:59:59 -2300", None),
        ("yesterday", None), ("", None), (None, None), ("Wed, 99 Jul 2026 14:25:36 GMT", None),
    ],
)  # fmt: skip
def test_bcs_clock_is_read_from_the_date_header(value: str | None, at: datetime | None) -> None:
    """Watermarks are taken from it, so a wrong header is none and never a wrong time."""
    assert odata.parse_date(value) == at


def test_a_tenant_that_is_a_guid_is_no_other_guid() -> None:
    """Where the tenant was sent as a GUID, a link names the same one, a domain, or none."""
    home = HOME.replace("lmints.io", COMPANY)
    assert odata.is_link_within(home, home)
    assert odata.is_link_within(HOME, home)
    assert not odata.is_link_within(HOME.replace("lmints.io", COMPANY.replace("1", "2")), home)
    assert not odata.is_link_within(f"{home}?tenant={COMPANY.replace('1', '2')}", home)
