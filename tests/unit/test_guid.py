"""A GUID as Business Central and Entra write it."""

import pytest

from shared.guid import is_guid

GUID = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        (GUID, True), (GUID.upper(), True), (GUID[:-1], False), (GUID + "0", False), (f"{{{GUID}}}", False),
        (GUID.replace("-", ""), False), (GUID + "\n", False), ("g" + GUID[1:], False), (GUID[1:] + "-", False),
        (GUID[:8] + GUID[9:], False), (GUID[:23] + GUID[24:], False), ("", False), (None, False), (5, False),
    ],
)  # fmt: skip
def test_a_guid_is_hex_digits_in_five_groups_from_end_to_end(value: object, is_one: bool) -> None:
    """8, 4, 4, 4 and 12, in any case, without braces."""
    assert is_guid(value) is is_one
