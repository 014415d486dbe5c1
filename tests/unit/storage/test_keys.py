"""Row keys: what can be written, read back, ordered and ranged over."""

import hashlib
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.storage.keys import MAX_KEY, after, row_key, split_key
from shared.storage.table_rules import check_key

ODD = "/\\#?%|=~ '+&é漢\U0001f600\x00\x7f\ud800ABCDEF0123456789h"
texts = st.text(alphabet=st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=())), max_size=40)
part_lists = st.lists(texts, min_size=1, max_size=4).filter(lambda parts: parts != [""])


def test_a_plain_key_stays_readable() -> None:
    """Ids, names and times appear in the key as they are."""
    assert row_key("items", "2026-03-04T12:00:00Z", "a1b2") == "items|2026-03-04T12:00:00Z|a1b2"
    assert row_key("CRONUS Danmark A/S") == "CRONUS=20Danmark=20A=2FS"


@given(part_lists)
@example(["=2F"])
@example(["/"])
@example(["a|b"])
@example(["a", "b"])
@example(["", ""])
def test_a_key_gives_its_parts_back(parts: list[str]) -> None:
    """split_key undoes row_key, so different parts never share a key."""
    assert split_key(row_key(*parts)) == tuple(parts)


@given(part_lists)
def test_table_storage_takes_every_key(parts: list[str]) -> None:
    """Whatever the parts hold, the key is one Table Storage takes, in printable ASCII below '~'."""
    key = row_key(*parts)
    check_key(key)
    assert re.fullmatch(r"[!-}]{1,512}", key)


@given(st.text(min_size=400, max_size=700), st.text(min_size=400, max_size=700))
def test_a_long_key_is_cut_and_stays_its_own(one: str, other: str) -> None:
    """A key past 512 characters is shortened to one that no other parts give, and that says it cannot be split."""
    keys = {row_key(one), row_key(other), row_key(one, other), row_key(other, one), row_key(one + other)}
    assert len(keys) == (5 if one != other else 3)
    assert all(len(key) <= MAX_KEY for key in keys)
    with pytest.raises(ValueError, match="shortened"):
        split_key(row_key(one, other))


@pytest.mark.parametrize("cut", range(440, 450))
def test_the_cut_of_a_long_key_never_splits_an_escape(cut: int) -> None:
    """Wherever the cut falls, the head holds whole escapes only and stays the start of the full key."""
    key = row_key("a" * cut + "/" * 100)
    head, _, digest = key.rpartition("=h")
    assert re.fullmatch(r"a+(=2F)*", head)
    assert len(digest) == 64
    assert len(key) <= MAX_KEY


def test_a_shortened_key_differs_from_a_part_that_imitates_it() -> None:
    """A part that holds the text of a shortened key does not give that key."""
    shortened = row_key("a" * 600)
    assert row_key(shortened) != shortened


@pytest.mark.parametrize("parts", [(), ("",)])
def test_an_empty_key_is_refused(parts: tuple[str, ...]) -> None:
    """Nothing at all cannot be a key."""
    with pytest.raises(ValueError, match="at least one character"):
        row_key(*parts)


@pytest.mark.parametrize("key", ["", "a b", "a=2f", "a=4", "=41", "a/b", "x=FF"])
def test_a_foreign_key_is_not_split(key: str) -> None:
    """A text that row_key never makes is refused, not misread."""
    with pytest.raises(ValueError):
        split_key(key)


times = st.integers(min_value=0, max_value=4 * 10**15).map(
    lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
)


@given(times, times, texts, texts)
def test_a_leading_time_keeps_its_order(one: datetime, other: datetime, tail_one: str, tail_other: str) -> None:
    """Keys that start with a fixed-width ISO time sort by that time, whatever follows."""
    stamps = [f"{at.isoformat(timespec='microseconds')[:26]}Z" for at in (one, other)]
    keys = [row_key(stamps[0], tail_one), row_key(stamps[1], tail_other)]
    if one != other:
        assert (keys[0] < keys[1]) == (one < other)


@given(part_lists, part_lists)
def test_after_bounds_exactly_the_keys_of_a_prefix(parts: list[str], others: list[str]) -> None:
    """That prefix <= key < after(prefix) holds for the keys that start with the prefix and for no other."""
    prefix, key = row_key(*parts), row_key(*others)
    assert not key.startswith(prefix) or prefix <= key < after(prefix)
    assert key.startswith(prefix) or not prefix <= key < after(prefix)
    longer = row_key(*parts, *others)
    assert prefix <= longer < after(prefix)


def test_after_nothing_is_open() -> None:
    """An empty prefix has no upper bound, which a query reads as "to the end"."""
    assert after("") == ""


def test_a_key_is_cut_where_rows_of_the_last_release_are() -> None:
    """512 characters are kept whole; of one more the first 446, and the digest of all (P20)."""
    assert row_key("a" * 512) == "a" * 512
    assert row_key("a" * 513) == "a" * 446 + "=h" + hashlib.sha256(b"a" * 513).hexdigest()


def test_the_bound_is_the_very_next_prefix() -> None:
    """Nothing between the two is taken along."""
    assert after("order|ab") == "order|ac"
