"""JSON in and out: nothing is rounded, nothing cut short passes for whole, nothing from outside breaks the reader."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import exact_json
from shared.business_central import records
from shared.clock import NO_TIME, format_time, parse_time

ID = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"
#: Decimal literals as Business Central writes them: any scale, trailing zeros, more digits than a float holds.
numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,12})?", fullmatch=True)
spaces = st.text(alphabet=" \t\r\n", max_size=3)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(st.characters(exclude_categories=["Cs"]))
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def entry(price: str = "1", **more: object) -> str:
    """The JSON text of one item."""
    rest = "".join(f", {json.dumps(name)}: {json.dumps(value)}" for name, value in more.items())
    return f'{{"@odata.etag": "W/\\"x\\"", "id": "{ID}", "unitPrice": {price}{rest}}}'


def test_a_byte_order_mark_is_no_fault() -> None:
    """Older versions of BC begin an answer with one."""
    assert records.parse_record(b"\xef\xbb\xbf" + entry().encode()).key == ID


def test_a_record_has_a_lower_case_key() -> None:
    """Ids are compared as text everywhere, so their case is settled once."""
    assert records.parse_record(f'{{"id": "{ID.upper()}"}}'.encode()).key == ID


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"id": "x"}', f'{{"id": "{ID}"}} x'.encode(), b'{"id": '])
def test_what_is_no_record_is_refused(body: bytes) -> None:
    """A record is one JSON object with an id, and nothing behind it."""
    with pytest.raises(ValueError):
        records.parse_record(body)


def versioned(tag: str, *variants: str, at: str = "2026-02-11T09:00:00Z") -> records.Record:
    """An item with ETags."""
    nested = [{"@odata.etag": each, "id": ID} for each in variants]
    fields = {"@odata.etag": tag, "id": ID, "lastModifiedDateTime": at, "itemVariants": nested}
    return records.parse_record(json.dumps(fields).encode())


def test_a_version_changes_with_every_etag_inside() -> None:
    """A changed, added, removed or moved variant is another version of its item, though the item's ETag stays."""
    versions = [
        versioned("a"), versioned("b"), versioned("a", "x"), versioned("a", "y"), versioned("a", "x", "y"),
        versioned("a", "y", "x"),
    ]  # fmt: skip
    assert len({record.version for record in versions}) == len(versions)


def test_a_version_does_not_depend_on_the_time_of_change() -> None:
    """A recorded PATCH left lastModifiedDateTime as it was and moved the ETag: ETags decide."""
    assert versioned("a", at="2026-02-11T09:00:00Z").version == versioned("a", at="2027-01-01T00:00:00Z").version


def test_a_record_without_etags_is_told_apart_by_its_text() -> None:
    """With `odata.metadata=none` there are no ETags; then the content is the version."""
    one, other = (records.parse_record(f'{{"id": "{ID}", "number": {n}}}'.encode()) for n in (1, 2))
    assert one.version != other.version


def test_a_version_is_the_same_in_every_release() -> None:
    """Versions are kept: another digest of the same ETags would announce every record of a company anew."""
    assert versioned("a", "x").version == "e51ab99a9ebc2d51"


def test_a_record_is_the_same_record_before_and_after_its_version_was_asked_for() -> None:
    """That the digest is kept beside it shows neither in a comparison nor in what is printed."""
    asked, fresh = versioned("a", "x"), versioned("a", "x")
    assert asked.version
    assert asked == fresh
    assert repr(asked) == repr(fresh)


def test_the_tags_of_expanded_records_come_without_that_of_the_record_itself() -> None:
    """A changed variant is told from a changed item by them."""
    assert versioned("a", "x", "y").expanded_tags == ("x", "y")
    assert versioned("a").expanded_tags == ()


def test_a_record_is_as_new_as_the_newest_inside() -> None:
    """A changed variant does not touch the time of its item; a variant without a time changes nothing."""

    def newest(*times: str | None) -> datetime:
        own, *nested = ({"lastModifiedDateTime": at} if at else {} for at in times)
        return records.parse_record(json.dumps({"id": ID, **own, "itemVariants": nested}).encode()).newest

    assert newest("2026-02-11T09:00:00Z", "2026-02-11T10:00:00Z") == datetime(2026, 2, 11, 10, tzinfo=UTC)
    assert newest("2026-02-11T11:00:00Z", "2026-02-11T10:00:00Z") == datetime(2026, 2, 11, 11, tzinfo=UTC)
    assert newest("2026-02-11T11:00:00Z", None) == datetime(2026, 2, 11, 11, tzinfo=UTC)
    assert newest(None) == NO_TIME


def test_a_text_property_is_read_by_its_name() -> None:
    """Those read out beforehand and all others; "" for what is no text, is not there or has no name."""
    record = records.parse_record(entry(number="1000", displayName="Bicycle", status="Open", **{"": "x"}).encode())
    names = ("number", "status", "lastModifiedDateTime", "displayName", "unitPrice", "itemVariants", "")
    assert [record.text(name) for name in names] == ["1000", "Open", "", "Bicycle", "", "", ""]


@pytest.mark.parametrize("space", ["\n", "\r", "\r\n"])
def test_a_record_is_one_line(space: str) -> None:
    """It goes into NDJSON, whichever line breaks Business Central puts between its tokens."""
    record = records.parse_record(f'{{{space}"id": "{ID}"{space}}}'.encode())
    assert "\n" not in record.raw
    assert "\r" not in record.raw
    assert json.loads(record.raw) == {"id": ID}


@pytest.mark.parametrize("name", ["number", "status", "lastModifiedDateTime", "@odata.etag"])
def test_half_a_surrogate_pair_in_what_is_read_out_is_refused(name: str) -> None:
    """No row and no message could hold it."""
    with pytest.raises(ValueError, match="surrogates not allowed"):
        records.parse_record(f'{{"id": "{ID}", "{name}": "\\ud800"}}'.encode())


@pytest.mark.parametrize("levels", [2000, 50_000])
def test_a_record_nested_too_deeply_is_refused(levels: int) -> None:
    """As what is no record, and not with an error of the reader."""
    with pytest.raises(ValueError, match="nested too deeply"):
        records.parse_record(f'{{"id": "{ID}", "a": {'[{"a":' * levels}1{"}]" * levels}}}'.encode())


def test_a_whole_number_longer_than_python_converts_stays_a_text() -> None:
    """Up to 4,000 digits it is a number."""
    decoded = records.record_decoder(str).decode(f"[12, {'9' * 4000}, {'9' * 4001}]")
    assert decoded == [12, 10**4000 - 1, "9" * 4001]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-02-11T09:14:27.53Z", datetime(2026, 2, 11, 9, 14, 27, 530_000, tzinfo=UTC)),
        ("2026-02-11T09:14:27Z", datetime(2026, 2, 11, 9, 14, 27, tzinfo=UTC)),
        ("2026-02-11T10:14:27+01:00", datetime(2026, 2, 11, 9, 14, 27, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", NO_TIME),
        ("0001-01-01T00:00:00+01:00", None),
        ("2026-02-11T09:14:27", None),
        ("2026-02-11", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times_are_read_as_instants(text: str, at: datetime | None) -> None:
    """BC trims zeros of fractions, and a time without zone or before all time is none."""
    assert parse_time(text) == at


@given(
    st.datetimes(datetime(1753, 1, 1), datetime(9000, 1, 1)),  # noqa: DTZ001 - the zone is drawn beside it
    st.integers(-12, 14),
)
def test_times_survive_the_literal_to_the_millisecond(moment: datetime, hours: int) -> None:
    """format_time and parse_time undo each other, whatever the zone; the literal is UTC with milliseconds."""
    aware = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=timezone(timedelta(hours=hours)))
    text = format_time(aware)
    assert text.endswith("Z")
    assert len(text) == len("2026-02-11T09:14:27.530Z")
    assert parse_time(text) == aware


def test_a_record_without_a_time_is_as_old_as_can_be() -> None:
    """Rows from before BC kept modification times carry year 1, and some records have no such property at all."""
    assert records.parse_record(f'{{"id": "{ID}"}}'.encode()).modified == NO_TIME
    assert records.parse_record(f'{{"id": "{ID}", "lastModifiedDateTime": 5}}'.encode()).modified == NO_TIME


@given(json_values)
def test_what_is_written_reads_back_equal(value: object) -> None:
    """Loading undoes writing; decimals keep their digits and scale."""
    again = exact_json.loads(exact_json.dumps({"v": value}))["v"]
    assert again == value
    assert exact_json.dumps(again) == exact_json.dumps(value)


@given(numbers)
def test_a_decimal_is_written_as_it_was_read(number: str) -> None:
    """Money passes digit for digit: 10.10 stays 10.10."""
    assert exact_json.dumps(exact_json.loads(f"[{number}]")) in {
        f"[{number}]",
        f"[{int(number)}]" if "." not in number else "",
    }
    assert exact_json.dumps(Decimal("10.10")) == "10.10"


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "NaN", "[Infinity]", "[-Infinity]", "\ufeff\ufeff{}", "[1e99999999999999999999]", "[" * 100_000,
        "[" * 2000 + "]" * 2000, '{"a":' * 500 + "1" + "}" * 500, '["\\ud800"]', '{"\\udfff": 1}', "9" * 5000,
    ],
)  # fmt: skip
def test_what_could_not_be_handled_later_is_refused_now(text: str) -> None:
    """Depth, half surrogates and boundless numbers are refused as not JSON, and never surface as another error."""
    with pytest.raises(ValueError):
        exact_json.loads(text)
    with pytest.raises(ValueError):
        exact_json.loads(b"\xff")


def test_surrogate_pairs_and_depth_within_reason_are_fine() -> None:
    """An escaped emoji and a nested object are ordinary."""
    assert exact_json.loads('["\\ud83d\\ude00", "\\\\ud800"]') == ["\U0001f600", "\\ud800"]
    depth = exact_json.MAX_DEPTH - 1
    assert exact_json.dumps(exact_json.loads("[" * depth + "]" * depth)) == "[" * depth + "]" * depth
