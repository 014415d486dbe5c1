"""Sales order messages: every fault of one at once, each naming its field and rule; what is valid leaves unharmed."""

import json
import re
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import exact_json
from shared.business_central.code_text import code_of
from shared.errors import InvalidMessage
from shared.orders import order_fields, order_message

GUID = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"
#: The customer's own sample (design.md section 4): a bare BC order.
SAMPLE = (
    '{"orderDate": "2023-09-01", "customerNumber": "GL00000008", "currencyCode": "GBP",'
    ' "paymentTermsId": "3bb5b4b6-ea4c-43ca-ba1c-3b69e29a6668"}'
)


def message(order: object = None, **more: object) -> str:
    """A wrapped message."""
    return json.dumps({"company": "CRONUS", "order": {"customerNumber": "C1"} if order is None else order, **more})


def parse(text: str, message_id: str = "m-1") -> order_message.OrderRequest:
    """Parse with a message id."""
    return order_message.parse_message(text, message_id=message_id)


def faults(text: str) -> list[str]:
    """The faults of a message that must be refused."""
    with pytest.raises(InvalidMessage) as caught:
        parse(text)
    return caught.value.faults


def verdict(text: str) -> order_message.OrderRequest | list[str]:
    """The order, or the faults it is refused for; any other error fails the test."""
    try:
        return parse(text)
    except InvalidMessage as error:
        return error.faults


def line(**fields: object) -> dict[str, object]:
    """A line that is fine but for what is given."""
    return {"lineType": "Item", "lineObjectNumber": "1000", "quantity": 1, **fields}


def order(*lines: object, **fields: object) -> str:
    """A message with an order of these fields and lines."""
    rest = {"salesOrderLines": list(lines)} if lines else {}
    return message({"customerNumber": "C1", **rest, **fields})


NOT_A_MESSAGE = ["", "x", "{", "5", "null", "[]", '"order"', "[" * 100_000, '{"a": NaN}', '{"a": "\\ud800"}']


@pytest.mark.parametrize("text", NOT_A_MESSAGE, ids=range(len(NOT_A_MESSAGE)))
def test_what_is_no_json_object_is_one_fault(text: str) -> None:
    """The rule is named, and no part of the content is repeated."""
    (fault,) = faults(text)
    assert fault in {"message: must be JSON", "message: must be a JSON object"}


HEADER = [
    ("externalDocumentNumber", "x" * 36, "has 36 characters, at most 35 are allowed"),
    ("externalDocumentNumber", 17, "must be text"),
    ("customerNumber", "x" * 21, "has 21 characters, at most 20 are allowed"),
    ("customerId", "C1", "must be a GUID"),
    ("orderDate", "01.09.2023", "must be a date such as 2026-02-11"),
    ("orderDate", "2023-02-30", "must be a date such as 2026-02-11"),
    ("orderDate", "2023-09-01T00:00:00Z", "must be a date such as 2026-02-11"),
    ("orderDate", "20230901", "must be a date such as 2026-02-11"),
    ("requestedDeliveryDate", 20230901, "must be a date such as 2026-02-11"),
    ("currencyCode", "x" * 11, "has 11 characters, at most 10 are allowed"),
    ("paymentTermsId", "30D", "must be a GUID"),
    ("pricesIncludeTax", "true", "must be true or false"),
    ("pricesIncludeTax", 1, "must be true or false"),
    ("discountAmount", "5.00", "must be a number"),
    ("discountAmount", True, "must be a number"),
    ("sellToCity", "x" * 31, "has 31 characters, at most 30 are allowed"),
    ("shipToPostCode", ["24103"], "must be text"),
    ("email", "x" * 81, "has 81 characters, at most 80 are allowed"),
    ("number", "SO-1", "is set by Business Central and can't be sent"),
    ("id", GUID, "is set by Business Central and can't be sent"),
    ("status", "Draft", "is set by Business Central and can't be sent"),
    ("billToCity", "Kiel", "is set by Business Central and can't be sent"),
    ("salesOrderLines", {}, "must be a list"),
]


@pytest.mark.parametrize(("name", "value", "rule"), HEADER)
def test_a_wrong_header_field_is_named_with_its_rule(name: str, value: object, rule: str) -> None:
    """Wrong type, length, date, GUID, or a field BC sets itself."""
    assert f"{name}: {rule}" in faults(order(**{name: value}))


LINE = [
    (line(quantity="2"), "salesOrderLines[0].quantity: must be a number"),
    (line(quantity=None, unitPrice=False), "salesOrderLines[0].unitPrice: must be a number"),
    (line(itemId="1000"), "salesOrderLines[0].itemId: must be a GUID"),
    (line(lineObjectNumber="x" * 21), "salesOrderLines[0].lineObjectNumber: has 21 characters, at most 20 are allowed"),
    (line(description="x" * 101), "salesOrderLines[0].description: has 101 characters, at most 100 are allowed"),
    (line(shipmentDate="soon"), "salesOrderLines[0].shipmentDate: must be a date such as 2026-02-11"),
    (line(id=GUID), "salesOrderLines[0].id: is set by Business Central and can't be sent"),
    (line(sequence=10000), "salesOrderLines[0].sequence: is set by Business Central and can't be sent"),
    (line(quantity=10**15), "salesOrderLines[0].quantity: is out of range: at most 15 digits before the decimal point"),
    (line(amountExcludingTax=5), "salesOrderLines[0].amountExcludingTax: is set by Business Central and can't be sent"),
    (line(itemId=GUID, accountId=GUID), "salesOrderLines[0]: itemId and accountId exclude each other"),
    (
        {"lineObjectNumber": "1000"},
        "salesOrderLines[0].lineType: is required with lineObjectNumber or quantity (Item, Account, ...)",
    ),
    (
        {"lineType": "Comment", "quantity": 2},
        "salesOrderLines[0].lineType: is required with lineObjectNumber or quantity (Item, Account, ...)",
    ),
    (
        {"lineType": "Item", "quantity": 2},
        "salesOrderLines[0].lineObjectNumber: this or itemId is required on a line of type Item",
    ),
    (
        {"lineType": "Account", "lineObjectNumber": "1", "unitOfMeasureCode": "PCS"},
        "salesOrderLines[0].unitOfMeasureCode: can be set only on a line of type Item",
    ),
    ("PRK-1001", "salesOrderLines[0]: must be a JSON object"),
    (None, "salesOrderLines[0]: must be a JSON object"),
]


@pytest.mark.parametrize(("bad", "fault"), LINE)
def test_a_wrong_line_is_named_with_its_place_and_rule(bad: object, fault: str) -> None:
    """A line is found by its place in the list."""
    assert fault in faults(order(bad))
    second = fault.replace("[0]", "[1]", 1)
    assert faults(order(line(), bad)) == [each.replace("[0]", "[1]", 1) for each in faults(order(bad))]
    assert second in faults(order(line(), bad))


@pytest.mark.parametrize("kind", ["item", "Items", "", 5, ["Item"], {"a": 1}, True])
def test_an_unknown_line_type_is_refused_with_the_list_of_known_ones(kind: object) -> None:
    """Whatever was sent, the answer says what may be sent."""
    found = faults(order(line(lineType=kind)))
    assert any("salesOrderLines[0].lineType: must be one of Comment, Account, Item" in fault for fault in found)


def test_all_faults_come_in_one_answer() -> None:
    """A sender corrects a message once, not once per fault."""
    bad = message(
        {"orderDate": "x", "externalDocumentNumber": "x" * 36, "salesOrderLines": [line(quantity="1"), 5]},
        company=7, orderKey="k" * 201,
    )  # fmt: skip
    names = [fault.partition(":")[0] for fault in faults(bad)]
    assert sorted(names) == sorted([
        "company", "orderKey", "orderDate", "externalDocumentNumber", "customerNumber", "salesOrderLines[0].quantity",
        "salesOrderLines[1]",
    ])  # fmt: skip


def test_a_customer_is_required() -> None:
    """By number or by id; blank text is none."""
    for text in (message({}), message({"customerNumber": "  "}), message({"customerNumber": None})):
        assert "customerNumber: this or customerId is required" in faults(text)
    assert parse(message({"customerId": GUID.upper()})).customer_id == GUID


STRANGERS = [
    ("orderkey", "orderKey"), ("order_key", "orderKey"), ("OrderKey", "orderKey"), ("key", ""), ("Company", "company"),
    ("companyId", "company"), ("conection", "connection"), ("orders", "order"), ("id", ""), ("dequeueCount", ""),
    ("again", ""), ("redrive", ""), ("job", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "near"), STRANGERS)
def test_an_unknown_member_beside_the_four_is_refused_with_the_nearest_right_name(name: str, near: str) -> None:
    """A misspelt key would make a second order; no member is an instruction to this app."""
    (fault,) = faults(message(**{name: "x"}))
    hint = f"did you mean `{near}`?" if near else "there are connection, company, orderKey, order"
    assert fault == f"{name}: is no member of an order message; {hint}"


def test_a_misspelt_envelope_is_none_the_less_an_envelope() -> None:
    """Without the member `order`, and without a customer of its own."""
    found = faults('{"company": "CRONUS", "Order": {"customerNumber": "C1"}}')
    assert found == ["Order: is no member of an order message; did you mean `order`?", "order: is required"]


def test_a_message_that_names_a_key_and_no_customer_is_an_envelope_without_its_order() -> None:
    """Its sender reads what is missing, under the key that he gave."""
    assert faults('{"orderKey": "w-5"}') == ["order: is required"]
    assert order_message.sent_key_of('{"orderKey": "w-5"}', "message-1") == "w-5"


@pytest.mark.parametrize(
    "name", ["id", "Id", "dequeueCount", "DequeueCount", "popReceipt", "insertionTime", "expirationTime", "orderKey"]
)
@pytest.mark.parametrize("value", ["x", 5, None, [1], True])
def test_members_of_a_bare_order_go_to_bc_as_they_are(name: str, value: object) -> None:
    """Whatever they are called: none has an effect here."""
    text = json.dumps({"customerNumber": "C1", "externalDocumentNumber": "PO-1", name: value})
    request = parse(text)
    assert request.key == "PO-1"
    assert exact_json.loads(request.body)[name] == value


@given(st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")) | st.text(max_size=200))
def test_no_text_raises_anything_else(text: str) -> None:
    """Whatever comes, it is an order or an InvalidMessage; anything else would kill its worker five times."""
    assert verdict(text)


names = st.sampled_from([
    "orderKey", "company", "order", "customerNumber", "customerId", "salesOrderLines", "lineType", "itemId", "quantity",
    "externalDocumentNumber", "orderDate", "unitPrice", "id", "again",
])  # fmt: skip
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=8) | st.sampled_from(["Item", GUID])
    | st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=6),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(names, anything, max_size=8))
def test_no_document_raises_anything_else(document: dict[str, Any]) -> None:
    """As above for JSON that looks like orders; what passes has a key, a number that fits, and a body that parses."""
    text = json.dumps(document)
    request = verdict(text)
    if isinstance(request, list):
        assert request
        assert all(": " in fault for fault in request)
        return
    assert request.key
    body = exact_json.loads(request.body)
    assert code_of(body["externalDocumentNumber"]) == request.external_number
    assert code_of(order_message.sent_key_of(text, "m-1")) == request.key


def test_the_customers_sample_is_an_order() -> None:
    """A bare order as the customer sends it; its key is the message's own id."""
    request = parse(SAMPLE, "5f3759df-0000-4000-8000-0123456789ab")
    assert request.key == "5F3759DF-0000-4000-8000-0123456789AB"
    assert request.external_number == "5F3759DF0000400080000123456789AB"
    assert (request.company, request.customer_number) == ("", "GL00000008")
    assert {**exact_json.loads(SAMPLE), "externalDocumentNumber": request.external_number} == exact_json.loads(
        request.body
    )


@pytest.mark.parametrize(
    ("text", "sent", "key", "external", "numbering"),
    [
        (message(orderKey=" web-7 "), " web-7 ", "WEB-7", "WEB-7", "given"),
        (message({"customerNumber": "C1", "externalDocumentNumber": "po-1 "}), "po-1 ", "PO-1", "PO-1", "given"),
        (message({"customerNumber": "C1", "externalDocumentNumber": "po-1"}, orderKey="k"), "k", "K", "PO-1", "shared"),
        (message({"customerNumber": "C1", "externalDocumentNumber": "k"}, orderKey="K"), "K", "K", "K", "given"),
        (message(), "m-1", "M-1", "M-1", "generated"),
        (message(orderKey=GUID), GUID, GUID.upper(), GUID.replace("-", "").upper(), "generated"),
        (message(orderKey="k" * 36), "k" * 36, "K" * 36, order_message.external_of("K" * 36), "generated"),
        (message(orderKey="Straße-1"), "Straße-1", "STRAßE-1", "STRAßE-1", "given"),
    ],
)
def test_the_key_is_the_senders_or_the_number_or_the_messages_id(
    text: str, sent: str, key: str, external: str, numbering: str
) -> None:
    """In this order; compared as BC compares codes, kept as sent; the number is the sender's, or made by this app."""
    request = parse(text)
    assert (request.sent_key, request.key) == (sent, key)
    assert (request.external_number, request.numbering) == (external, numbering)


def test_what_bc_gets_is_what_was_written() -> None:
    """Texts unchanged, the number included: BC upper-cases codes itself, as .NET does."""
    body = exact_json.loads(parse(order(externalDocumentNumber="Straße-1", sellToCity=" Köln ")).body)
    assert (body["externalDocumentNumber"], body["sellToCity"]) == ("Straße-1", " Köln ")


@pytest.mark.parametrize(
    ("sent", "left"),
    [("0E-20", "0.00000000000000000000"), ("5E-7", "0.0000005"), ("1E+2", "100"), ("3.0", "3.0"), ("-0.50", "-0.50")],
)
def test_numbers_leave_in_plain_digits(sent: str, left: str) -> None:
    """BC takes no exponent."""
    text = (
        '{"customerNumber":"C1","salesOrderLines":[{"lineType":"Item","lineObjectNumber":"1","quantity":' + sent + "}]}"
    )
    assert f'"quantity":{left}}}' in parse(text).body


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=200))
def test_the_external_number_of_a_key_fits_and_is_stable(key: str) -> None:
    """At most 35 characters whatever the key, the same for every spelling of its case."""
    assert len(order_message.external_of(key)) <= order_fields.EXTERNAL_LENGTH
    assert order_message.external_of(key) == order_message.external_of(code_of(key))


def test_long_keys_stay_apart() -> None:
    """A key too long for BC is replaced by a digest of the whole of it."""
    assert order_message.external_of("K" * 36 + "1") != order_message.external_of("K" * 36 + "2")
    assert re.fullmatch(r"[0-9A-F]{32}", order_message.external_of("K" * 36))


amounts = st.from_regex(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,10})?", fullmatch=True)


@given(amounts, amounts, amounts)
def test_decimals_reach_bc_digit_for_digit(quantity: str, price: str, discount: str) -> None:
    """What BC gets are the digits that were sent: no float in between."""
    text = (
        f'{{"customerNumber":"C1","discountAmount":{discount},"salesOrderLines":'
        f'[{{"lineType":"Item","lineObjectNumber":"1","unitPrice":{price},"quantity":{quantity}}}]}}'
    )
    body = parse(text).body
    found = re.search(r'"quantity":([^,}]+),"unitPrice":([^,}]+)[,}]', body)
    assert found is not None
    assert [Decimal(text) for text in found.groups()] == [Decimal(quantity), Decimal(price)]
    for sent, left in ((quantity, found[1]), (price, found[2])):
        if "." in sent:
            assert sent == left


def test_properties_leave_in_the_order_bc_validates_them() -> None:
    """What a line is comes before its variant, unit, quantity, price and discount; unknown properties come last."""
    shuffled = {
        "invented": 1, "discountPercent": 0, "unitPrice": 2, "quantity": 3, "unitOfMeasureCode": "PCS",
        "itemVariantId": GUID, "lineObjectNumber": "1", "lineType": "Item",
    }  # fmt: skip
    body = exact_json.loads(parse(order(shuffled, invented=1, orderDate="2026-02-11")).body)
    assert list(body) == [
        "externalDocumentNumber", "customerNumber", "orderDate", "invented", "salesOrderLines",
    ]  # fmt: skip
    assert list(body["salesOrderLines"][0]) == [
        "lineType", "lineObjectNumber", "itemVariantId", "unitOfMeasureCode", "quantity", "unitPrice",
        "discountPercent", "invented",
    ]  # fmt: skip


def test_the_order_of_properties_makes_no_other_order() -> None:
    """A sender may write its JSON in any order: it is the same order to the digest."""
    one = parse('{"customerNumber":"C1","orderDate":"2026-02-11","externalDocumentNumber":"E"}')
    other = parse('{"externalDocumentNumber":"E","orderDate":"2026-02-11","customerNumber":"C1"}')
    assert one.content == other.content
    assert parse(message(orderKey="K")).content != parse(message({"customerNumber": "C2"}, orderKey="K")).content


@pytest.mark.parametrize(
    ("one", "other"), [("3", "3.0"), ("3", "3.00000"), ("100", "1E+2"), ("0", "0E-20"), ("0", "-0.0")]
)
def test_a_number_means_the_same_however_it_is_written(one: str, other: str) -> None:
    """The content is what the sender meant."""
    texts = [f'{{"customerNumber":"C1","discountAmount":{number}}}' for number in (one, other)]
    assert parse(texts[0]).content == parse(texts[1]).content


def test_the_content_does_not_hang_on_how_this_app_writes_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that arranges the properties otherwise sees the same order (P20)."""
    text = order(line(), orderDate="2026-03-01", email="a@b.c")
    before = parse(text)
    monkeypatch.setattr(order_fields, "HEADER", dict(reversed(order_fields.HEADER.items())))
    assert parse(text).body != before.body
    assert parse(text).content == before.content


@pytest.mark.parametrize("text", [order(email="M\ufffdller"), order({"lineType": "Comment", "description": "M\ufffd"})])
def test_a_letter_that_was_lost_on_the_way_is_refused(text: str) -> None:
    """Also written as an escape, which the bytes do not show."""
    assert "\\ufffd" in text
    assert faults(text)[-1].startswith("message: holds U+FFFD")


def test_what_an_earlier_release_took_for_an_order_is_one() -> None:
    """Its envelope had a member more, its line a sequence: the order waits since then and goes on (P20)."""
    text = message({"customerNumber": "C1", "salesOrderLines": [line(sequence=1)]}, source="shop", orderKey="k")
    assert len(faults(text)) == 2
    request = order_message.parse_message(text, message_id="m-1", is_checked=True)
    assert (request.key, request.customer_number) == ("K", "C1")


@pytest.mark.parametrize("lines", [[None], [[]], ["a"], "text", 5])
def test_what_a_row_keeps_is_refused_where_it_has_no_lines(lines: object) -> None:
    """The row of an order holds its newest message, which may be one that was refused."""
    text = message({"customerNumber": "C1", "salesOrderLines": lines}, orderKey="k")
    with pytest.raises(InvalidMessage, match="salesOrderLines"):
        order_message.parse_message(text, message_id="m-1", is_checked=True)


@pytest.mark.parametrize("text", [*NOT_A_MESSAGE, '{"order": 5}', '{"orderKey": 5, "order": {}}', "{}"])
def test_a_message_without_a_key_is_filed_under_its_own_id(text: str) -> None:
    """Even what can't be read has a place where it is found again."""
    assert order_message.sent_key_of(text, "m-1") == "m-1"


def test_a_refused_message_is_filed_under_its_own_key() -> None:
    """An operator looks for it by the key the sender knows."""
    assert order_message.sent_key_of('{"orderKey": " web-7 ", "order": {}}', "m-1") == " web-7 "
    assert order_message.sent_key_of('{"externalDocumentNumber": "po-1"}', "m-1") == "po-1"
    assert len(order_message.sent_key_of(json.dumps({"orderKey": "k" * 300, "order": {}}), "m-1")) == 200


@pytest.mark.parametrize(
    ("named", "mine", "ids", "fault"),
    [
        ("eu", "eu", ["eu", "us"], ""),
        ("", "eu", ["eu"], ""),
        ("eu", "eu", [], ""),
        ("us", "eu", ["eu"], "must be eu"),
        ("", "eu", ["eu", "us"], "is required: several are connected (eu, us)"),
        ("us", "eu", ["eu", "us"], "is us, and the order is kept by eu; send it anew"),
        ("asia", "eu", ["eu", "us"], "must be one of: eu, us"),
        ("EUROP", "us", ["us", "europe", "euro"], "must be one of: us, europe, euro; did you mean europe?"),
    ],
)
def test_a_message_names_the_connection_it_came_to(named: str, mine: str, ids: list[str], fault: str) -> None:
    """It need not where there is one; a wrong name is answered with the nearest right one."""
    assert order_message.connection_fault(named, mine, ids) == fault


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (message(connection=" eu "), "eu"), (message(), ""), (message(connection=5), ""), ("x", ""),
        ('{"connection": "eu"}', "eu"), ('{"customerNumber": "C1", "connection": "eu"}', ""),
    ],
)  # fmt: skip
def test_the_connection_is_read_of_any_envelope(text: str, named: str) -> None:
    """What is refused later has to be answered by somebody; in a bare order the member is BC's."""
    assert order_message.connection_of(text) == named


def test_the_name_of_a_stranger_is_repeated_up_to_50_characters() -> None:
    """It may be anything."""
    (fault,) = faults(message(**{"x" * 51: 1}))
    assert fault.startswith("x" * 50 + ": is no member")


def test_of_several_near_names_the_nearest_is_meant() -> None:
    """`connections` is near to two of the four."""
    (fault,) = faults(message(orderCompany="x"))
    assert fault == "orderCompany: is no member of an order message; did you mean `company`?"


@pytest.mark.parametrize(("name", "longest"), [("connection", 200), ("orderKey", 200), ("company", 250)])
def test_a_member_has_a_longest_text(name: str, longest: int) -> None:
    """Blanks around it are not counted."""
    assert parse(message(**{name: " " + "x" * longest + " "})).body
    assert faults(message(**{name: "x" * (longest + 1)})) == [
        f"{name}: has {longest + 1} characters, at most {longest} are allowed"
    ]
    for blank in (" ", 5, ["x"]):
        assert faults(message(**{name: blank})) == [f"{name}: must be text"]


@pytest.mark.parametrize(("key", "filed"), [(" k ", " k "), (" " + "k" * 198 + " ", " " + "k" * 198 + " "),
                                            (" " + "k" * 199 + " ", "k" * 199), ("k" * 201, "k" * 200)])  # fmt: skip
def test_a_key_that_is_too_long_is_filed_under_its_first_200_characters(key: str, filed: str) -> None:
    """One that fits is filed as it was sent."""
    assert order_message.sent_key_of(json.dumps({"orderKey": key, "order": {}}), "m-1") == filed


def test_the_number_made_of_a_key_is_its_digest_where_the_key_is_too_long() -> None:
    """32 hex digits of SHA-256; 35 characters still fit."""
    assert order_message.external_of("k" * 35) == "K" * 35
    assert order_message.external_of("k" * 36) == sha256(b"K" * 36).hexdigest()[:32].upper()


@pytest.mark.parametrize(("one", "other", "is_same"), [("10", "10.00", True), ("100", "1E2", True), ("10", "1", False)])
def test_the_content_is_the_same_for_the_same_number(one: str, other: str, is_same: bool) -> None:
    """However it is written; a whole one with zeros, too."""
    texts = [f'{{"order":{{"customerNumber":"C1","discountAmount":{number}}}}}' for number in (one, other)]
    assert (parse(texts[0]).content == parse(texts[1]).content) is is_same
