"""Ids packed side by side, sixteen bytes each, and spread over as many table properties as they need.

Owns the packing that ledger and pulled versions share; knows rows, and no table.
"""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from shared.storage.table import Row, Value

ID_BYTES: Final = 16
#: What one property is filled with; it holds 64 KiB. A multiple of every entry's size, so that none is cut.
PROPERTY_BYTES: Final = 60_000


def pack_id(key: str) -> bytes:
    """Return the sixteen bytes of one GUID.

    Raises:
        ValueError: not a GUID.
    """
    packed = bytes.fromhex(key.replace("-", ""))
    if len(packed) != ID_BYTES:
        raise ValueError("not a GUID")
    return packed


def pack_ids(keys: Iterable[str]) -> bytes:
    """Return the bytes of some GUIDs, one behind the other."""
    return b"".join(map(pack_id, keys))


def unpack_ids(packed: bytes) -> list[str]:
    """Return the GUIDs of packed bytes, lower case; a rest that is no whole id is left out."""
    return [str(UUID(bytes=one)) for one in cut(packed, ID_BYTES)]


def cut(packed: bytes, size: int) -> list[bytes]:
    """Return the entries of `size` bytes that lie side by side."""
    return [packed[at : at + size] for at in range(0, len(packed) - size + 1, size)]


def entry_of(packed: bytes, key: str, size: int = ID_BYTES) -> bytes:
    """Return that of the entries of `size` bytes which begins with a GUID, b"" if none does.

    A match across two entries is none.
    """
    wanted = pack_id(key)
    at = packed.find(wanted)
    while at >= 0 and at % size:
        at = packed.find(wanted, at + 1)
    return packed[at : at + size] if at >= 0 else b""


def spread(name: str, packed: bytes) -> dict[str, Value]:
    """Return properties `<name>00`, `<name>01`, ... that hold the bytes; none for no bytes."""
    cuts = range(0, len(packed), PROPERTY_BYTES)
    return {f"{name}{n:02d}": packed[start : start + PROPERTY_BYTES] for n, start in enumerate(cuts)}


def gather(row: Row, name: str) -> bytes:
    """Return the bytes that `spread` put into a row."""
    return b"".join(row.data(part) for part in sorted(row.values) if part.startswith(name))
