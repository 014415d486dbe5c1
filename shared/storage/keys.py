r"""Row keys from parts: readable, reversible, safe in a table's key and URL, and ordered like a leading time stamp.

Owns the alphabet of keys. Parts are joined with `|`; what a key may not hold, or what would blur the join, is written
as `=XX`, the UTF-8 bytes in hex: `/ \ # ? % | = ~`, spaces, control and non-ASCII characters. Every key is printable
ASCII below `~`, so that `after(prefix)` always exists.
"""

import hashlib
import re
from typing import Final

MAX_KEY: Final = 512  # characters: 1 KiB of UTF-16, what Table Storage allows
_SEPARATOR: Final = "|"
_ESCAPED: Final = re.compile(r"[^!-~]|[/\\#?%|=~]")
_ESCAPE: Final = re.compile(r"=([0-9A-F]{2})")
# A shortened key is "<head>=h<sha256>"; an escape is always `=` and two upper-case hex digits, so no other has `=h`.
_HASH_MARK: Final = "=h"
_HEAD: Final = MAX_KEY - len(_HASH_MARK) - 64


def row_key(*parts: str) -> str:
    """Join parts to one key of 1 to 512 characters; different parts always give different keys.

    A key that would be longer keeps its readable head of 446 characters and ends in a SHA-256 of the whole.

    Raises:
        ValueError: no parts, or a single empty one.
    """
    key = _SEPARATOR.join(_ESCAPED.sub(_escape, part) for part in parts)
    if not key:
        raise ValueError("a row key needs at least one character")
    if len(key) <= MAX_KEY:
        return key
    head = re.sub(r"=[0-9A-F]?$", "", key[:_HEAD])  # no half escape at the cut
    return f"{head}{_HASH_MARK}{hashlib.sha256(key.encode('ascii')).hexdigest()}"


def split_key(key: str) -> tuple[str, ...]:
    """Return the parts that `row_key` joined.

    Raises:
        ValueError: the key was shortened, or is not one that `row_key` makes.
    """
    if _HASH_MARK in key:
        raise ValueError("a shortened key cannot be split")
    parts = tuple(_unescape(part) for part in key.split(_SEPARATOR))
    if not key or row_key(*parts) != key:
        raise ValueError("not a key made by row_key")
    return parts


def after(prefix: str) -> str:
    """Return the bound above every key that starts with `prefix`: use as `query(partition, prefix, after(prefix))`.

    "" for an empty prefix, which a query takes as "to the end". `prefix` is itself a key or the start of one.
    """
    return prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else ""


def _escape(match: re.Match[str]) -> str:
    # surrogatepass: a lone surrogate from foreign JSON must neither fail nor collide
    return "".join(f"={byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def _unescape(part: str) -> str:
    raw = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), part)
    return raw.encode("latin-1").decode("utf-8", "surrogatepass")
