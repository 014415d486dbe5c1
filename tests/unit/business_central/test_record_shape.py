"""Shapes: what a shape reads of a record is what the decoder reads of it, and what it does not know it leaves alone."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.business_central import page_parser
from shared.business_central.page_parser import Page, parse_page
from shared.business_central.record_shape import RecordShape, shape_of
from shared.business_central.records import Record, make_record, record_decoder

ID = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"
ETAG = 'W/"JzE5OzcyNDM2ODYwNTQ5Mzc3NjQxNTIxOzAwOyc="'
NEXT_ETAG = 'W/"JzIwOzE1NDM1MzQ3MzU1MDExNDQ0Mjg3MTswMDsn"'
TIME = "2026-11-26T04:50:35.806Z"
VARIANT = {"@odata.etag": NEXT_ETAG, "code": "V0", "lastModifiedDateTime": "2026-11-27T00:00:00Z"}
ITEM: dict[str, Any] = {
    "@odata.etag": ETAG, "id": ID.upper(), "number": "1000", "unitPrice": 19.5, "blocked": False, "gtin": None,
    "lastModifiedDateTime": TIME, "itemVariants": [VARIANT, VARIANT | {"@odata.etag": ETAG}],
}  # fmt: skip
single = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


def compact(record: object) -> str:
    """JSON as Business Central writes it: no spaces, text as it is."""
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)


def shape(record: dict[str, Any] = ITEM) -> RecordShape:
    """The shape of a record, which has one."""
    found = shape_of(record, "id")
    assert found is not None
    return found


def pages_of(text: str, size: int) -> Page:
    """The page of some records, read in chunks of that many bytes."""
    body = f'{{"value":[{text}],"@odata.nextLink":"l"}}'.encode()
    return parse_page(body[at : at + size] for at in range(0, len(body), size))


def test_a_record_whose_etag_is_a_list_has_no_shape() -> None:
    """The decoder would take the list for the tag."""
    assert shape_of(ITEM | {"@odata.etag": []}, "id") is None


def test_a_record_of_the_shape_is_read_as_the_decoder_reads_it() -> None:
    """Key, number, time, ETags and times of the expanded records, and where the record ends."""
    raw = compact(ITEM)
    read = shape().read(f"[{raw},{raw}]", 1)
    assert read == (make_record(raw, ITEM), len(raw) + 1)
    assert read is not None
    assert read[0].tags == f"{ETAG}\n{NEXT_ETAG}\n{ETAG}"
    assert read[0].expanded_times == ("2026-11-27T00:00:00Z", "2026-11-27T00:00:00Z")


@pytest.mark.parametrize(
    "record",
    [
        ITEM | {"itemVariants": []},
        ITEM | {"itemVariants": [VARIANT] * 30},
        ITEM | {"unitPrice": "text now", "gtin": -0.5e-7, "blocked": None},
        ITEM | {"number": None, "lastModifiedDateTime": None},
        ITEM | {"gtin": 'Größe 7" \\ \n \t / ü'},
        ITEM | {"itemVariants": [VARIANT | {"code": 'a"}],{"b\\'}]},
        ITEM | {"gtin": '","lastModifiedDateTime":"x","@odata.etag":"y'},
    ],
)
def test_other_values_are_the_same_shape(record: dict[str, Any]) -> None:
    """Whatever one-valued properties hold, and however many records are expanded."""
    raw = compact(record)
    assert shape().read(raw, 0) == (make_record(raw, record), len(raw))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"number":"1000"', '"number":"10\\u0030"'),  # escapes of what is read out
        ('"number":"1000"', '"number":1000'),
        (TIME, TIME + "\\n"),
        ('W/\\"', "W\\\\"),
        (ID.upper(), "no id"),
        (ID.upper(), ID + "0"),
        ("19.5", "NaN"),
        ("19.5", "01"),
        ("19.5", "1."),
        ("19.5", "-"),
        ("19.5", "１"),
        ("false", "False"),
        ("null", '"a\tb"'),
        ("null", '"\\x"'),
        ("null", '"\\u12g4"'),
        ("null", "{}"),
        ('"gtin"', '"gtan"'),
        ('"gtin":null,', ""),
        ('"gtin":null,', '"gtin":null,"more":1,'),
        ('"gtin":null,', '"gtin":null,"gtin":null,'),
        ('"V0"', '["V0"]'),
        ("}]}", "},]}"),
        ("}]}", "}}"),
        ("}]}", "}]"),
        (":", ": "),
    ],
)
def test_what_is_anything_else_is_left_to_the_decoder(old: str, new: str) -> None:
    """Another property, another order, a space, what is no JSON at all, or cut short: no shape, no record."""
    raw = compact(ITEM)
    assert old in raw
    assert shape().read(raw.replace(old, new), 0) is None


@pytest.mark.parametrize(
    "record",
    [
        ITEM | {"address": {"city": "x"}},
        ITEM | {"itemVariants": ["x"]},
        ITEM | {"itemVariants": [{}]},
        ITEM | {"itemVariants": [{"code": "V0"}]},
        ITEM | {"itemVariants": [{"lastModifiedDateTime": TIME, "@odata.etag": ETAG}]},
        ITEM | {"itemVariants": [VARIANT | {"more": []}]},
    ],
)
def test_a_record_of_several_levels_has_no_shape(record: dict[str, Any]) -> None:
    """Only lists of expanded records, their ETag first, are known."""
    assert shape_of(record, "id") is None


@pytest.mark.parametrize("bare", [{"id": ID}, {"id": ID, "parts": [{"@odata.etag": ETAG, "no": 1}]}])
def test_what_a_record_lacks_is_read_as_nothing(bare: dict[str, Any]) -> None:
    """No ETag of its own, no time: as the decoder has it."""
    raw = compact(bare)
    assert shape(bare).read(raw, 0) == (make_record(raw, bare), len(raw))


@given(
    st.lists(st.tuples(st.dictionaries(st.sampled_from(["a", "ä", "number", "status"]), single), st.lists(single))),
    st.integers(1, 3000),
)
def test_a_page_is_the_same_with_shapes_and_without(rows: list[tuple[dict[str, Any], list[Any]]], size: int) -> None:
    """Whatever the records are, in whatever order shapes come, and wherever the chunks are cut."""
    records = [
        {"@odata.etag": ETAG, "id": ID, **row, "parts": [{**VARIANT, "v": value} for value in values]}
        for row, values in rows
    ]  # fmt: skip
    raws = [compact(record) for record in records]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_parser, "_WORTH_A_SHAPE", 0)
        found = pages_of(",".join(raws), size)
    decoder = record_decoder(pytest.fail)
    assert found == Page([make_record(raw, decoder.decode(raw)) for raw in raws], [], "l")


def decoded_of(raws: list[str], size: int) -> tuple[Page, list[str]]:
    """The page of some records, read in chunks of that many bytes, and those that the decoder was asked for."""
    asked: list[str] = []

    def decoded(raw: str, *rest: Any) -> Record:
        asked.append(raw)
        return make_record(raw, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_parser, "make_record", decoded)
        return pages_of(",".join(raws), size), asked


def test_a_long_page_is_read_by_its_shape() -> None:
    """The decoder is asked for the first records, for one that broke, and where a chunk ends within a record."""
    raws = [compact(ITEM | {"unitPrice": price}) for price in range(400)]
    raws[300] = raws[300].replace(":300", ":NaN")
    found, asked = decoded_of(raws, 1 << 14)
    assert [record.raw for record in found.records] == [raw for raw in raws if "NaN" not in raw]
    assert len(found.broken) == 1
    assert len(asked) < 100


def test_three_shapes_of_a_page_are_learned() -> None:
    """From the 51st record on, each from the first record that has it; what comes after is left to the decoder."""
    shapes = [[compact(ITEM | {f"more{kind}": price}) for price in range(60)] for kind in range(4)]
    raws = [*shapes[0], *shapes[1], *shapes[2], *shapes[3], *shapes[2]]
    found, asked = decoded_of(raws, 1 << 20)
    assert [record.raw for record in found.records] == raws
    assert asked == [*shapes[0][:51], shapes[1][0], shapes[2][0], *shapes[3]]


@pytest.mark.parametrize("between", ["", " ", ";", ",;"])
def test_records_that_no_comma_parts_are_no_page(between: str) -> None:
    """Also once their shape is known: the answer is broken, and nobody knows what else it lacks."""
    raws = [compact(ITEM | {"unitPrice": price}) for price in range(60)]
    with pytest.raises(ValueError):
        pages_of(",".join(raws) + between + raws[0], 1 << 20)
