"""The verbs of Business Central over the emulator, and over answers that an honest server would not give."""

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import unquote

import pytest
import requests
from business_central_emulator import (
    BusinessCentral,
    EngineAdapter,
    Fault,
    FaultKind,
    HandshakeAnswer,
    VirtualClock,
    mount,
)

from shared.business_central.client import BusinessCentralClient
from shared.business_central.entities import ENTITIES, ITEMS, SALES_INVOICES, SALES_ORDERS, SALES_SHIPMENTS, Entity
from shared.business_central.port import Intent, PageAsk, Wanted
from shared.business_central.transport import Transport
from shared.errors import BCDenied, BCError, BCNotFound, BCRejected, BCThrottled, BCUnavailable
from shared.webhooks.plan import LIFETIME
from tests.support.fakes_budget import UnlimitedBudget
from tests.support.wire_world import API, Answer, Network, Tokens

ORIGIN = "https://api.businesscentral.dynamics.com"


class _GoodTokens(Tokens):
    def token(self) -> str:
        return "good-app"


@dataclass
class Place:
    """A client over an emulated environment; `lines` keeps `METHOD url` of every request."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    handshakes: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    echoes: bool = True

    def __post_init__(self) -> None:
        self.bc = BusinessCentral(self.clock.now, handshake=self._shake)
        self.budget = UnlimitedBudget()
        self.client = client_over(mount(requests.Session(), _Noting(self), ORIGIN), ORIGIN, self.budget)
        self.company = self.bc.company().id

    def _shake(self, url: str) -> HandshakeAnswer:
        self.handshakes.append(url)
        token = unquote(url.partition("validationToken=")[2])
        return HandshakeAnswer(status=200, content_type="text/plain", body=token.encode() if self.echoes else b"no")

    def fail(self, kind: FaultKind, match: str = "", **more: Any) -> None:
        """Script a fault."""
        self.bc.faults.add(Fault(kind=kind, match=match, **more))


class _Noting(EngineAdapter):
    def __init__(self, place: Place) -> None:
        super().__init__(place.bc)
        self._place = place

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        self._place.lines.append(f"{request.method} {request.url}")
        self._place.headers.append(dict(request.headers))
        return super().send(request, **options)


def client_over(session: requests.Session, origin: str, budget: UnlimitedBudget) -> BusinessCentralClient:
    """A client over a session."""
    tokens = _GoodTokens()
    transport = Transport(origin, tokens, budget, new_session=lambda: session, sleep=lambda _: None, roll=lambda: 0.0)
    return BusinessCentralClient(transport, tenant_id="lmints.io", environment="production")


@pytest.fixture
def place() -> Place:
    """A fresh environment with the demo data."""
    return Place()


def canned(*bodies: object) -> BusinessCentralClient:
    """A client to which a server of our making answers."""
    answers = [Answer(200, body if isinstance(body, bytes) else json.dumps(body).encode()) for body in bodies]
    return client_over(Network(*answers).session(), API, UnlimitedBudget())


def ask(place: Place, **more: Any) -> PageAsk:
    """Ask for items."""
    return PageAsk(company=place.company, entity=ITEMS, **more)


def test_companies_come_with_ids_and_names(place: Place) -> None:
    """A blank display name falls back to the name."""
    cronus, mine = place.client.companies()
    assert (cronus.key, cronus.name) == (place.company, "CRONUS International Ltd.")
    assert mine.display_name == mine.name == "My Company"
    assert place.client.company_url(cronus.key) == f"{place.bc.root_url()}/companies({cronus.key})"


def test_pages_follow_each_other_to_the_end(place: Place) -> None:
    """Every item once, in order, in pages of the size asked for, by BC's own links."""
    seen: list[str] = []
    question = ask(place, rows=7, order="number", expanded=True)
    while True:
        answer = place.client.page(question)
        assert answer.served_at == place.clock.now().replace(microsecond=0)
        seen += [record.text("number") for record in answer.page.records]
        assert all("itemVariants" in record.fields for record in answer.page.records)
        if not answer.page.next_link:
            break
        assert len(answer.page.records) == 7
        question = ask(place, rows=7, link=answer.page.next_link)
    assert sorted(seen) == sorted(item["number"] for item in place.bc.table("items"))
    assert len(place.lines) == -(-len(seen) // 7)
    assert all(headers["Prefer"] == "odata.maxpagesize=7" for headers in place.headers)
    assert not any("$skip=" in line for line in place.lines)


@pytest.mark.parametrize("what", ["records", "ids"])
@pytest.mark.parametrize("entity", ENTITIES.values(), ids=ENTITIES)
def test_every_entity_is_served(place: Place, entity: Entity, what: Literal["records", "ids"]) -> None:
    """The emulator refuses unknown properties, so a select or expand that is wrong would show here."""
    assert entity in ENTITIES.values()
    question = PageAsk(company=place.company, entity=entity, what=what, expanded=True, order="lastModifiedDateTime")
    page = place.client.page(question).page
    assert page.records
    assert all(("status" in r.fields) == (entity is SALES_INVOICES) for r in page.records if what == "ids")
    assert all((entity.expand in r.fields) == (what == "records") for r in page.records)


def test_expanded_records_name_their_parents(place: Place) -> None:
    """The delta of variants names the items to read again."""
    item = next(iter(place.bc.table("items")))
    place.clock.advance(60)
    place.bc.user.create_variant(item, "RED")
    page = place.client.page(ask(place, what="expanded", since=place.clock.now(), order="lastModifiedDateTime")).page
    assert [record.text("itemId") for record in page.records] == [item.id]


def test_a_delta_asks_inclusively_and_a_partition_between_its_bounds(place: Place) -> None:
    """`ge` the watermark, `ge` the lower bound, `lt` the upper: neighbours neither overlap nor leave a gap."""
    numbers = sorted(item["number"] for item in place.bc.table("items"))
    middle = numbers[len(numbers) // 2]
    halves = [
        [record.text("number") for record in place.client.page(ask(place, order="number", **bounds)).page.records]
        for bounds in ({"high": middle}, {"low": middle})
    ]
    assert halves[0] + halves[1] == numbers
    at = place.clock.now()
    place.bc.user.create_item(displayName="new")
    assert len(place.client.page(ask(place, since=at)).page.records) == 1
    assert place.client.page(ask(place, since=at + timedelta(milliseconds=1))).page.records == []


def test_odd_numbers_are_bounds_as_well(place: Place) -> None:
    """A quote in a number does not end its literal."""
    for number in ("A'B", "A&B", "A%B", "A B"):
        place.bc.user.create_item(number=number, displayName="odd")
    found = place.client.page(ask(place, low="A'B", high="A'C", order="number")).page.records
    assert [record.text("number") for record in found] == ["A'B"]


def test_split_points_cut_into_similar_parts(place: Place) -> None:
    """Four parts of an entity, ascending, with one count and three probes; few rows give few parts."""
    place.bc.bulk_items(4000)
    points = place.client.split_points(place.company, ITEMS, 4, least=4)
    assert len(points) == 3
    bounds = ["", *points, "\x7f"]
    numbers = [item["number"] for item in place.bc.table("items")]
    sizes = [sum(low <= n < high for n in numbers) for low, high in itertools.pairwise(bounds)]
    assert len(place.lines) == 4
    assert max(sizes) < 1.3 * min(sizes)
    empty = place.client.split_points(place.bc.company("My Company").id, ITEMS, 4, least=4)
    assert empty == []


@pytest.mark.parametrize("how", ["500", "dialog"])
@pytest.mark.parametrize(("part", "points"), [(0, 0), (1, 2), (2, 2)])
def test_a_broken_record_at_a_cut_costs_that_cut(place: Place, how: str, part: int, points: int) -> None:
    """The first one is read by the count: then nothing is cut (P13)."""
    place.bc.bulk_items(4000)
    rows = sorted(place.bc.table("items"), key=lambda item: str(item["number"]))
    place.bc.faults.broken[rows[len(rows) * part // 4].id] = how
    assert len(place.client.split_points(place.company, ITEMS, 4, least=4)) == points


@pytest.mark.parametrize("match", ["count", "skip"])
def test_an_outage_is_no_broken_record_at_a_cut(place: Place, match: str) -> None:
    """503 for the count or for a probe: the plan waits for BC."""
    place.bc.bulk_items(40)
    place.bc.faults.add(Fault(kind=FaultKind.UNAVAILABLE, match=match, times=None))
    with pytest.raises(BCUnavailable):
        place.client.split_points(place.company, ITEMS, 4, least=4)


def test_records_are_read_by_id_with_their_lines(place: Place) -> None:
    """One request for a group; one that does not exist is simply not there."""
    place.bc.user.create_shipment()
    keys = [record.id for record in place.bc.table("salesShipments")][:100]
    missing = "00000000-0000-4000-8000-000000000001"
    place.lines.clear()
    records = place.client.records(place.company, SALES_SHIPMENTS, [*keys, missing], expanded=True, reserved=True)
    assert {record.key for record in records} == set(keys)
    assert all(record.fields["salesShipmentLines"] for record in records)
    assert len(place.lines) == 1
    assert place.budget.taken[-1] is True
    place.client.records(place.company, SALES_SHIPMENTS, keys, expanded=False)
    assert place.budget.taken[-1] is False


def test_a_hundred_ids_make_a_url_that_servers_take(place: Place) -> None:
    """Below 8 KB, the least that gateways allow."""
    keys = [f"{n:08x}-0000-4000-8000-000000000001" for n in range(100)]
    place.client.records(place.company, SALES_SHIPMENTS, keys, expanded=True)
    assert len(place.lines[-1]) < 8000


ORDER = {"customerNumber": "", "externalDocumentNumber": "WEB-1", "salesOrderLines": []}


def post(place: Place, number: str = "WEB-1", **more: object) -> str:
    """Post an order; returns its number."""
    customer = next(iter(place.bc.table("customers")))["number"]
    item = next(row for row in place.bc.table("items") if row["unitPrice"] > 0 and not row["blocked"])["number"]
    lines = [{"lineType": "Item", "lineObjectNumber": item, "quantity": 1}]
    body = {**ORDER, "customerNumber": customer, "externalDocumentNumber": number, "salesOrderLines": lines, **more}
    return place.client.create_order(place.company, json.dumps(body)).number


def find(place: Place, number: str = "WEB-1", *, also_posted: bool = False, by_id: bool = False) -> list[str]:
    """Look for an order; returns numbers."""
    customer = next(iter(place.bc.table("customers")))
    found = place.client.find_orders(
        place.company, number, customer_number="" if by_id else customer["number"],
        customer_id=customer.id if by_id else "", any_customer=False, since=place.clock.now() - timedelta(days=1),
        also_posted=also_posted, intent=Intent.CURRENT,
    )  # fmt: skip
    return [order.number for order in found]


@pytest.mark.parametrize("number", ["WEB-1", "A*B|C", "A..B", "@X", "O'NEIL & CO", "ÄÖ/1"])
@pytest.mark.parametrize("by_id", [False, True])
def test_an_order_is_found_by_its_external_number(place: Place, number: str, by_id: bool) -> None:
    """Whatever AL would make of the number, exactly the order that bears it is found."""
    post(place, "OTHER")
    assert find(place, number, by_id=by_id) == []
    made = post(place, number)
    assert find(place, number, by_id=by_id) == [made]


@pytest.mark.parametrize("number", ["WEB-1", "A*B"])
def test_an_order_that_was_posted_meanwhile_is_found_in_what_is_left(place: Place, number: str) -> None:
    """Shipped and invoiced, an order is gone; its invoice and shipment still bear both numbers."""
    made = post(place, number)
    order = next(row for row in place.bc.table("salesOrders") if row["number"] == made)
    place.bc.user.post_order(order)
    assert find(place, number) == []
    assert find(place, number, also_posted=True) == [made]


def test_an_order_of_another_customer_is_another_order(place: Place) -> None:
    """External numbers are the customers' own and need not be unique."""
    other = list(place.bc.table("customers"))[1]["number"]
    post(place, "WEB-1", customerNumber=other)
    assert find(place) == []


def test_decimals_of_an_order_reach_bc(place: Place) -> None:
    """The body is sent as it is."""
    item = next(row for row in place.bc.table("items") if row["unitPrice"] > 0 and not row["blocked"])["number"]
    line = f'{{"lineType":"Item","lineObjectNumber":"{item}","quantity":1.25000,"unitPrice":10.123450}}'
    customer = next(iter(place.bc.table("customers")))["number"]
    place.client.create_order(place.company, f'{{"customerNumber":"{customer}","salesOrderLines":[{line}]}}')
    row = list(place.bc.table("salesOrderLines"))[-1]
    assert (row["quantity"], row["unitPrice"]) == (Decimal("1.25"), Decimal("10.12345"))


def test_a_refused_order_carries_bcs_words(place: Place) -> None:
    """Code, message, and the correlation id out of it."""
    with pytest.raises(BCRejected) as caught:
        post(place, customerNumber="NOBODY")
    assert (caught.value.status, caught.value.code) == (400, "Application_DialogException")
    assert caught.value.message == "The sell-to customer cannot be found."
    assert re.fullmatch(r"[0-9a-f-]{36}", caught.value.correlation_id)


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        (FaultKind.RESET_BEFORE, 0), (FaultKind.RESET_AFTER, 1), (FaultKind.TIMEOUT_AFTER, 1), (FaultKind.TRUNCATED, 1),
        (FaultKind.GATEWAY_TIMEOUT_AFTER, 1), (FaultKind.REQUEST_TIMEOUT_AFTER, 1), (FaultKind.SERVER_ERROR, 0),
        (FaultKind.HTML_ERROR, 0),
    ],
)  # fmt: skip
def test_an_order_is_posted_once_whatever_the_network_does(place: Place, kind: FaultKind, made: int) -> None:
    """An open outcome is BCUnavailable; nothing here posts again (P8)."""
    before = len(place.bc.table("salesOrders"))
    place.fail(kind, "POST")
    with pytest.raises(BCUnavailable):
        post(place)
    assert len(place.bc.table("salesOrders")) == before + made
    assert sum(line.startswith("POST") for line in place.lines) == 1


def test_an_unreadable_answer_to_an_order_leaves_the_outcome_open() -> None:
    """It was committed, most likely; the look-up will tell."""
    for body in (b"", b"<html>", b"{}", b"[]"):
        with pytest.raises(BCUnavailable):
            canned(body).create_order("c", "{}")


def wanted(place: Place, entity: str = "items") -> Wanted:
    """A webhook to be made."""
    return Wanted(
        company=place.company, entity=entity, url="https://connect.example/api/bc/notifications/1",
        resource=ENTITIES[entity].resource(place.company), client_state="state",
    )  # fmt: skip


def test_a_webhook_lives_through_creation_renewal_and_removal(place: Place) -> None:
    """Handshake on create and renew, quoted key, If-Match, a body; gone is fine on removal."""
    made = place.client.create_subscription(wanted(place))
    assert made.expires_at == place.clock.now() + LIFETIME
    assert place.client.subscriptions() == [made]
    place.clock.advance(timedelta(hours=30))
    renewed = place.client.renew_subscription(wanted(place), made)
    assert renewed.expires_at == made.expires_at + timedelta(hours=30)
    assert len(place.handshakes) == 2
    assert any(line.endswith(f"/subscriptions('{made.subscription_id}')") for line in place.lines)
    place.client.delete_subscription(renewed)
    place.client.delete_subscription(renewed)
    assert place.client.subscriptions() == []
    with pytest.raises(BCNotFound):
        place.client.renew_subscription(wanted(place), renewed)


def test_a_failed_handshake_is_a_refusal(place: Place) -> None:
    """BC answers 400 and nothing is registered."""
    place.echoes = False
    with pytest.raises(BCRejected):
        place.client.create_subscription(wanted(place))
    assert place.client.subscriptions() == []


def test_what_bc_offers_webhooks_for_is_read(place: Place) -> None:
    """In lower case, as it is compared."""
    offered = place.client.webhook_resources(place.company)
    assert {"v2.0/items", "v2.0/salesinvoices", "v2.0/salesshipments"} <= offered


@pytest.mark.parametrize("status", [(429, BCThrottled), (503, BCUnavailable)])
def test_reads_are_repeated_and_then_fail_as_what_they_are(place: Place, status: tuple[int, type[BCError]]) -> None:
    """Two faults pass unseen, three do not."""
    kind = {429: FaultKind.THROTTLED, 503: FaultKind.UNAVAILABLE}[status[0]]
    place.fail(kind, times=2)
    assert place.client.companies()
    place.fail(kind, times=3)
    with pytest.raises(status[1]):
        place.client.companies()


def test_a_foreign_link_is_not_followed(place: Place) -> None:
    """Neither one that a job carries nor one that an answer brings (P15)."""
    evil = f"https://evil.example/v2.0/x/{ITEMS.resource(place.company)}"
    with pytest.raises(BCRejected) as caught:
        place.client.page(ask(place, link=evil))
    assert caught.value.code == "nextLink"
    assert place.lines == []
    client = canned({"value": [], "@odata.nextLink": evil})
    readers: list[Callable[[], object]] = [
        client.companies,
        lambda: client.page(PageAsk(company=place.company, entity=ITEMS)),
        lambda: client.records(place.company, ITEMS, ["1"], expanded=False),
        client.subscriptions,
    ]
    for read in readers:
        with pytest.raises(BCRejected) as caught:
            read()
        assert caught.value.code == "nextLink"


def test_a_link_that_loops_ends() -> None:
    """The same link again is refused at once; a circle of small lists ends after a bounded number of pages."""
    link = f"{API}/v2.0/lmints.io/production/api/v2.0/companies(c)/items?aid=FIN"
    with pytest.raises(BCRejected):
        canned({"value": [], "@odata.nextLink": link}).page(PageAsk(company="c", entity=ITEMS, link=link))
    with pytest.raises(BCRejected, match="pages"):
        canned({"value": [], "@odata.nextLink": link}).records("c", ITEMS, ["1"], expanded=False)


NO_ANSWER = [b"", b"<html>ok</html>", b'{"value": [', b'{"value": 5}', b"{}", b"[]", b"null", b"[" * 9999]


@pytest.mark.parametrize("body", NO_ANSWER, ids=range(len(NO_ANSWER)))
def test_an_answer_that_is_no_answer_is_a_passing_fault(body: bytes) -> None:
    """A cut or replaced body of a 200 is read again later, and never taken for "nothing there"."""
    client = canned(body)
    readers: list[Callable[[], object]] = [
        client.companies, lambda: client.page(PageAsk(company="c", entity=ITEMS)), client.subscriptions,
        lambda: client.webhook_resources("c"),
    ]  # fmt: skip
    for read in readers:
        with pytest.raises(BCUnavailable):
            read()


def test_a_wrong_token_is_denied(place: Place) -> None:
    """401 twice: the login is what is wrong."""
    place.bc.check_token = lambda _: None
    with pytest.raises(BCDenied):
        place.client.companies()


KEYS = ["7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"]
INTENTS: dict[str, tuple[Callable[[Place], object], str]] = {
    "companies": (lambda place: place.client.companies(), "ReadWrite"),
    "page": (lambda place: place.client.page(ask(place)), "ReadOnly"),
    "ids": (lambda place: place.client.page(ask(place, what="ids")), "ReadOnly"),
    "records": (lambda place: place.client.records(place.company, ITEMS, KEYS, expanded=False), "ReadOnly"),
    "missing records": (
        lambda place: place.client.records(place.company, ITEMS, KEYS, expanded=False, intent=Intent.CURRENT),
        "ReadWrite",
    ),
    "drafts": (lambda place: place.client.records(place.company, SALES_INVOICES, KEYS, expanded=True), "ReadOnly"),
    "cuts": (lambda place: place.client.split_points(place.company, ITEMS, 3, least=1), "ReadOnly"),
    "probe": (lambda place: place.client.probe(place.company, SALES_INVOICES, expanded=True), "ReadOnly"),
    "order": (lambda place: find(place, also_posted=True), "ReadWrite"),
    "offered": (lambda place: place.client.webhook_resources(place.company), "ReadWrite"),
    "log": (lambda place: place.client.webhook_logs(place.company), "ReadOnly"),
    "subscriptions": (lambda place: place.client.subscriptions(), "ReadWrite"),
}


@pytest.mark.parametrize("verb", INTENTS)
def test_every_read_says_which_question_it_asks(place: Place, verb: str) -> None:
    """Found counts when committed, missing counts when current (P18)."""
    read, intent = INTENTS[verb]
    read(place)
    assert place.headers
    assert {headers["Data-Access-Intent"] for headers in place.headers} == {intent}


def test_a_write_says_nothing_of_intent(place: Place) -> None:
    """`ReadOnly` on a write is an error, and a write needs no other."""
    post(place)
    made = place.client.create_subscription(wanted(place))
    made = place.client.renew_subscription(wanted(place), made)
    place.client.delete_subscription(made)
    assert not [headers for headers in place.headers if "Data-Access-Intent" in headers]


def test_no_read_on_the_primary_touches_a_draft(place: Place) -> None:
    """BC recalculates a draft whenever it is read there, so the client does not."""
    for entity in (SALES_INVOICES, SALES_ORDERS):
        with pytest.raises(ValueError, match="modify"):
            place.client.records(place.company, entity, KEYS, expanded=False, intent=Intent.CURRENT)
    assert place.lines == []


def test_a_document_that_refuses_the_intent_is_read_without_once(caplog: pytest.LogCaptureFixture) -> None:
    """Only that read, only on a document, logged once; what fails either way keeps its own error."""
    refused = Answer(400, b'{"error":{"code":"Application_X","message":"The transaction is read-only."}}')
    network = Network(refused, Answer(200, b'{"value":[]}'), refused, Answer(200, b'{"value":[]}'), refused)
    client = client_over(network.session(), API, UnlimitedBudget())
    for _ in range(2):
        assert client.page(PageAsk(company="c", entity=SALES_INVOICES)).page.records == []
    assert [request.headers.get("Data-Access-Intent") for request in network.asked] == ["ReadOnly", None] * 2
    assert caplog.text.count("bc.intent_refused") == 1
    with pytest.raises(BCRejected, match="read-only"):
        client.page(PageAsk(company="c", entity=SALES_INVOICES))
    network.asked.clear()
    with pytest.raises(BCRejected):
        client.page(PageAsk(company="c", entity=ITEMS))
    assert len(network.asked) == 1


def test_metadata_of_a_route_names_its_sets(place: Place) -> None:
    """A custom API has a document of its own; one that is not published is not found; a page of a gateway is none."""
    place.bc.add_shop()
    assert len(place.client.metadata("v2.0")) == 87
    found = place.client.metadata("contoso/shop/v1.0")
    assert {"stockLevels", "bins", "priceTags"} <= set(found)
    assert (found["priceTags"].keys, found["priceTags"].has_times) == (("systemId",), False)
    with pytest.raises(BCNotFound):
        place.client.metadata("contoso/other/v1.0")


def test_a_page_with_another_key_is_read_by_it(place: Place) -> None:
    """In pages and by id; what is selected is what was chosen and what the app needs."""
    place.bc.add_shop()
    tags = Entity(
        name="contoso/shop/v1.0/priceTags", event="priceTag", route="contoso/shop/v1.0", key="systemId", sort="code",
        has_times=False, select=("price",),
    )  # fmt: skip
    page = place.client.page(PageAsk(company=place.company, entity=tags, order="code", rows=1)).page
    assert page.records[0].text("code") == "TAG-1896"
    assert set(page.records[0].fields) == {"@odata.etag", "systemId", "code", "price"}
    (found,) = place.client.records(place.company, tags, [page.records[0].key], expanded=False)
    assert found.key == page.records[0].key
