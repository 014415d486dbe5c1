"""Ids side by side in binary properties: found only where an id begins, and spread so that none is cut."""

import pytest

from shared.storage.packed_ids import cut, entry_of, gather, pack_id, pack_ids, spread, unpack_ids
from shared.storage.table import Row

ONE = "00000000-0000-0000-0000-000000000001"
TWO = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"


def test_ids_come_back_in_their_order_and_in_lower_case() -> None:
    """Sixteen bytes each; a rest that is no whole id is left out."""
    packed = pack_ids([TWO.upper(), ONE])
    assert len(packed) == 32
    assert unpack_ids(packed) == [TWO, ONE]
    assert unpack_ids(packed[:-1]) == [TWO]


@pytest.mark.parametrize("wrong", ["", "C1", "x" * 36, TWO[:-2], TWO + "00", TWO[:-1], TWO + TWO])
def test_what_is_no_id_is_refused(wrong: str) -> None:
    """Entries lie side by side: one that is longer or shorter would move all behind it."""
    with pytest.raises(ValueError):
        pack_id(wrong)


@pytest.mark.parametrize(
    ("packed", "entries"),
    [(b"", []), (b"a", []), (b"ab", [b"ab"]), (b"abc", [b"ab"]), (b"abcd", [b"ab", b"cd"])],
)
def test_entries_are_cut_where_they_end(packed: bytes, entries: list[bytes]) -> None:
    """Side by side, without the rest."""
    assert cut(packed, 2) == entries


#: Sixteen bytes that appear in zeros with ones in front at places where no id begins.
ZERO = "00000000-0000-0000-0000-000000000000"
ONES = "ff" * 16


@pytest.mark.parametrize(
    ("packed", "key", "is_there"),
    [
        ("", ZERO, False),
        (pack_id(ZERO).hex(), ZERO, True),
        (pack_id(ONE).hex() + pack_id(TWO).hex(), TWO, True),
        (pack_id(ONE).hex() + pack_id(TWO).hex(), ZERO, False),
        ("ff" + "00" * 31, ZERO, True),  # at 1 to 15 it begins no id, at 16 it does
        ("ff" + "00" * 30 + "ff", ZERO, False),
        ("ff" + "00" * 16 + "ff" * 15, ZERO, False),
        (ONES + "ff" + "00" * 16 + "ff" * 15 + "00" * 16, ZERO, True),
    ],
)
def test_an_id_is_found_only_where_one_begins(packed: str, key: str, is_there: bool) -> None:
    """A match across two of them is none."""
    assert entry_of(bytes.fromhex(packed), key) == (pack_id(key) if is_there else b"")


def test_an_entry_is_found_by_its_id() -> None:
    """With what stands behind the id; not where an entry that is larger than an id holds one by chance."""
    first, second = pack_id(ONE) + b"D" * 9, pack_id(TWO) + b"O" * 9
    assert entry_of(first + second, TWO, 25) == second
    assert entry_of(first + second, ZERO, 25) == b""
    assert entry_of(b"x" * 9 + pack_id(TWO) + first, TWO, 25) == b""


@pytest.mark.parametrize(
    ("size", "sizes"),
    [(0, {}), (1, {"ids00": 1}), (60_000, {"ids00": 60_000}), (60_001, {"ids00": 60_000, "ids01": 1})],
)
def test_bytes_are_spread_over_properties_of_60000(size: int, sizes: dict[str, int]) -> None:
    """A property holds 64 KiB; ids (16) and ids with a digest (24, 25) end at its end."""
    packed = bytes(n % 251 for n in range(size))
    values = spread("ids", packed)
    assert {name: len(part) for name, part in values.items() if isinstance(part, bytes)} == sizes
    assert (
        gather(Row(partition="p", key="k", values={**dict(reversed(values.items())), "other": b"x"}), "ids") == packed
    )


def test_the_parts_are_put_together_in_their_order_beyond_ten() -> None:
    """Property names have two digits, so that they sort."""
    packed = b"".join(bytes([n]) * 60_000 for n in range(12))
    assert gather(Row(partition="p", key="k", values=spread("ids", packed)), "ids") == packed
