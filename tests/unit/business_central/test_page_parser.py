"""Pages: split where records end, wherever the chunks are cut; nothing cut short passes for whole."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.business_central.page_parser import Page, parse_page

ID = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"
#: Decimal literals as Business Central writes them: any scale, trailing zeros, more digits than a float holds.
numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,12})?", fullmatch=True)
spaces = st.text(alphabet=" \t\r\n", max_size=3)


def entry(price: str = "1", **more: object) -> str:
    """The JSON text of one item."""
    rest = "".join(f", {json.dumps(name)}: {json.dumps(value)}" for name, value in more.items())
    return f'{{"@odata.etag": "W/\\"x\\"", "id": "{ID}", "unitPrice": {price}{rest}}}'


def page(*entries: str, more: str = "") -> bytes:
    """The body of a collection answer."""
    return f'{{"@odata.context": "c", "value": [{", ".join(entries)}]{more}}}'.encode()


def parsed(body: bytes, size: int = 1 << 18) -> Page:
    """The page that comes in chunks of `size` bytes."""
    return parse_page(body[at : at + size] for at in range(0, len(body), size))


@given(numbers)
def test_a_number_is_passed_on_digit_for_digit(number: str) -> None:
    """Whatever its scale, a number of a record leaves as it came."""
    (record,) = parsed(page(entry(number))).records
    assert record.raw == entry(number)


@given(st.lists(st.text(), max_size=4), spaces, spaces)
def test_a_page_is_split_where_its_entries_end(texts: list[str], before: str, between: str) -> None:
    """Brackets, quotes and line breaks inside texts do not confuse the split; a record is one line of the same JSON."""
    entries = [entry(displayName=text) for text in texts]
    joined = f"{between},{between}".join(entries)
    body = f'{before}{{{between}"value"{between}:{before}[{between}{joined}{before}]{between}}}{before}'
    found = parsed(body.encode())
    assert [record.fields["displayName"] for record in found.records] == texts
    assert [json.loads(record.raw) for record in found.records] == [json.loads(text) for text in entries]
    assert not any("\n" in record.raw or "\r" in record.raw for record in found.records)


def test_pretty_printed_records_become_one_line() -> None:
    """A record goes into NDJSON, so line breaks between its tokens are gone and those inside its texts are kept."""
    pretty = json.dumps({"id": ID, "displayName": "two\nlines", "list": [{"a": 1}]}, indent=2).replace("\n", "\r\n")
    (record,) = parsed(page(pretty)).records
    assert "\n" not in record.raw
    assert json.loads(record.raw) == json.loads(pretty)


@pytest.mark.parametrize("body", [page(entry("1.50"), entry("2", displayName="]}")), page()])
def test_a_page_cut_anywhere_is_refused(body: bytes) -> None:
    """An answer that ends early never passes for a shorter page: records would be missed without a word."""
    parsed(body)
    for length in range(len(body)):
        with pytest.raises(ValueError):
            parsed(body[:length])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html></html>",
        b'{"value": {}}',
        b'{"values": []}',
        b'{"value": [1 2]}',
        b"\xff\xfe{}",
        b'{"value": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_page_is_refused(body: bytes) -> None:
    """Only a JSON object with an array `value` is a page."""
    with pytest.raises(ValueError):
        parsed(body)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("tail", [b"}", b"{", b"\xd0\xcd", b"\n<!-- by a proxy -->", b"\xc3"])
def test_what_comes_behind_a_page_is_no_page(tail: bytes, size: int) -> None:
    """However it is cut: nobody knows what else of such an answer is not BC's. White space may end it."""
    body = page(entry("1.50"))
    assert len(parsed(body + b" \r\n\t", size).records) == 1
    with pytest.raises(ValueError):
        parsed(body + tail, size)


@pytest.mark.parametrize("broken", ["7", "null", "[]", "{}", '{"id": 5}', '{"id": "x"}', '{"id": null}'])
def test_an_entry_without_an_id_is_reported_and_stops_nothing(broken: str) -> None:
    """One unusable entry costs that entry (P13)."""
    found = parsed(page(entry("1"), broken, entry("2")))
    assert [record.fields["unitPrice"] for record in found.records] == [1, 2]
    assert found.broken == ["an entry without a usable id"]


def test_the_next_link_is_taken_as_it_is() -> None:
    """BC's link is opaque: unchanged, and "" on the last page."""
    link = "https://api.example/items?aid=FIN&$skiptoken=5de545bc%2D"
    assert parsed(page(entry(), more=f', "@odata.nextLink": "{link}"')).next_link == link
    assert parsed(page(entry(), more=', "@odata.nextLink": null')).next_link == ""
    assert parsed(page(entry())).next_link == ""


@given(st.lists(st.tuples(numbers, st.text()), max_size=4), st.integers(1, 40), st.booleans())
def test_chunks_may_be_cut_anywhere(rows: list[tuple[str, str]], size: int, has_mark: bool) -> None:
    """In the middle of a number, a text, an escape, a character of several bytes or the byte order mark."""
    entries = [json.dumps({"id": ID, "text": text}, ensure_ascii=False)[:-1] + f', "n": {n}}}' for n, text in rows]
    body = page(*entries, "7", more=', "@odata.nextLink": "https://x/?a=ä", "@odata.count": 12')
    cut = parsed((b"\xef\xbb\xbf" if has_mark else b"") + body, size)
    assert [record.raw for record in cut.records] == entries
    assert (len(cut.broken), cut.next_link) == (1, "https://x/?a=ä")


def test_a_page_cut_at_a_chunk_is_refused() -> None:
    """However the rest was divided, a missing end is noticed."""
    body = page(entry("1.50"), entry("2"))
    for length in range(len(body)):
        with pytest.raises(ValueError):
            parsed(body[:length], 7)


@pytest.mark.parametrize("number", ["1.5", "12", "1e-5", "-0.5E+10"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_bare_number_may_be_cut_anywhere(number: str, size: int) -> None:
    """Behind the point, the `e` or the sign."""
    body = f'{{"@odata.count": {number}, "value": [{entry()}]}}'.encode()
    assert len(parsed(body, size).records) == 1


def test_time_grows_with_the_length_and_not_with_its_square() -> None:
    """A record of 5 MB in chunks of 8 KB took 5.3 s; four times the length takes some four times as long."""

    def time_of(size: int) -> float:
        body = page(entry(blob="x" * size))
        began = time.process_time()
        assert len(parsed(body, 8192).records) == 1
        return time.process_time() - began

    assert min(time_of(8_000_000) for _ in range(3)) < 8 * min(time_of(2_000_000) for _ in range(3)) + 0.1


@pytest.mark.parametrize(
    ("spoiled", "why"),
    [
        (entry("NaN"), "NaN"),
        (entry(lines=[{"a": float("inf")}]), "Infinity"),
        (entry("-Infinity"), "-Infinity"),
        (entry().replace('"x', r'"\ud800x').replace(r"\"\ud", r"\ud"), "surrogates not allowed"),
        (entry().replace(ID, "zzzzzzzz-0000-0000-0000-000000000001"), "usable id"),
        (entry().replace(ID, ID[:-1] + '\\"'), "usable id"),
        (f'{{"id": "{ID}", "number": "\\ud800"}}', "surrogates not allowed"),
        (f'{{"id": "{ID}", "a": {'[{"a":' * 2000 + "1" + "}]" * 2000}}}', "nested too deeply"),
    ],
)
def test_a_record_that_nobody_can_use_costs_that_record(spoiled: str, why: str) -> None:
    """What no consumer can read, or what would break a store, is reported; the page goes on (P13)."""
    found = parsed(page(entry("1"), spoiled, entry("2")), 50)
    assert [record.fields["unitPrice"] for record in found.records] == [1, 2]
    assert [why in reason for reason in found.broken] == [True]


def test_of_several_faults_of_a_record_the_first_is_told() -> None:
    """By the id of the record, in lower case as everywhere."""
    spoiled = entry("NaN", rest=float("-inf")).replace(ID, ID.upper())
    assert parsed(page(spoiled)).broken == [f"the record {ID} holds NaN, which is not JSON"]


def test_a_number_that_python_does_not_convert_is_passed_on() -> None:
    """4,300 digits are JSON; they blocked the page."""
    (record,) = parsed(page(entry("9" * 5000))).records
    assert record.raw == entry("9" * 5000)
    assert record.fields["unitPrice"] == "9" * 5000
