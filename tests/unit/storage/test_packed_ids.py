"""Packed ids: sixteen bytes a GUID, and nothing that is none."""

from uuid import UUID

import pytest

from shared.storage.packed_ids import pack_id, pack_ids, unpack_ids

ID = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"


def test_an_id_is_packed_as_its_bytes_whatever_its_case() -> None:
    """Stored rows hold them in the order of the text."""
    assert pack_id(ID) == pack_id(ID.upper()) == UUID(ID).bytes


def test_packed_ids_are_unpacked_in_their_order() -> None:
    """A rest that is no whole id is left out."""
    other = ID[:-1] + "1"
    assert unpack_ids(pack_ids([ID, other]) + b"rest") == [ID, other]


@pytest.mark.parametrize("wrong", ["", "x" * 36, ID[:-2], ID + "00", ID[:-1], ID + ID])
def test_what_is_no_id_is_refused(wrong: str) -> None:
    """Entries lie side by side: one that is longer or shorter would move all behind it."""
    with pytest.raises(ValueError):
        pack_id(wrong)
