"""Reads records that have the shape of one that was decoded: a third of the decoder's time, and the same result.

The rows of a collection bear the same properties in the same order. A pattern made of them accepts exactly the JSON of
such a record (RFC 8259, compact as BC writes it) and hands out what decides something. A record that it does not accept
may be anything, broken or not: the decoder is asked. Escapes in what is read out are the decoder's as well, but for the
quotes in an ETag.
"""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from shared import guid
from shared.business_central.records import Record

_PLAIN: Final = r'[^"\\\x00-\x1f]*+'  # what stands for itself in a JSON text
_TEXT: Final = rf'"{_PLAIN}(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{{4}}){_PLAIN})*+"'
_NUMBER: Final = r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"
_ANY: Final = rf"(?:{_TEXT}|{_NUMBER}|true|false|null)"
_ETAG: Final = "@odata.etag"
_TIME: Final = "lastModifiedDateTime"
_NONE: Final = -1  # the group of a property that a shape lacks: the "" behind all others

#: The names of a record's properties in their order; for a list of expanded records also those of theirs.
type _Names = tuple[tuple[str, tuple[str, ...] | None], ...]


@dataclass(frozen=True, slots=True)
class RecordShape:
    """A pattern, and which of its groups holds what."""

    pattern: re.Pattern[str]
    key: int
    number: int
    status: int
    modified: int
    etag: int
    lists: tuple[tuple[int, re.Pattern[str]], ...]  # of expanded records: the group, and the pattern of one of them

    def read(self, text: str, at: int) -> tuple[Record, int] | None:
        """Return the record that begins at a place of a text, and where it ends; None when it has another shape."""
        match = self.pattern.match(text, at)
        if match is None:
            return None
        found = (*match.groups(""), "")
        tags = [] if self.etag == _NONE else [found[self.etag]]
        times: list[str] = []
        for group, entry in self.lists:
            for tag, time in entry.findall(found[group]):
                tags.append(tag)
                times.append(time)
        record = Record(
            match[0], found[self.key].lower(), found[self.number], found[self.status], found[self.modified],
            "\n".join(tags).replace('\\"', '"'), tuple(times),
        )  # fmt: skip
        return record, match.end()


def shape_of(fields: dict[str, Any], key: str) -> RecordShape | None:
    """Return the shape of a decoded record whose id is in `key`, None where it has none.

    It has one if it holds nothing but single values and lists of expanded records that do the same, their ETag first.
    """
    if isinstance(fields.get(_ETAG), list):
        return None
    names: list[tuple[str, tuple[str, ...] | None]] = []
    for name, value in fields.items():
        inner = _names_inside(value) if isinstance(value, list) else None
        if isinstance(value, dict) or (isinstance(value, list) and inner is None):
            return None
        names.append((name, inner))
    return _compiled(tuple(names), key)


def _names_inside(entries: list[Any]) -> tuple[str, ...] | None:
    """Return the names in the first of some expanded records, () for no records, None where they have no shape."""
    if not entries:
        return ()
    names = tuple(entries[0]) if isinstance(entries[0], dict) else ("",)
    if names[:1] != (_ETAG,) or any(isinstance(value, dict | list) for value in entries[0].values()):
        return None
    return names


@lru_cache(maxsize=64)
def _compiled(names: _Names, key: str) -> RecordShape:
    read_out = {**_patterns("("), "number": _text("("), "status": _text("("), key: f'"({guid.PATTERN})"'}
    members: list[str] = []
    groups: dict[str, int] = {}
    lists: list[tuple[int, re.Pattern[str]]] = []
    for name, inner in names:
        place = len(groups) + len(lists)
        if inner is not None:
            entry = _object(inner, _patterns("(?:"))
            members.append(_member(name, rf"\[((?:{entry}(?:,{entry})*+)?+)\]" if inner else r"\[()\]"))
            lists.append((place, re.compile(_object(inner, _patterns("(")) + ("" if _TIME in inner else "()"))))
            continue
        if name in read_out:
            groups[name] = place
        members.append(_member(name, read_out.get(name, _ANY)))
    number, status, modified, etag = (groups.get(name, _NONE) for name in ("number", "status", _TIME, _ETAG))
    pattern = re.compile(rf"\{{{','.join(members)}\}}")
    return RecordShape(pattern, groups[key], number, status, modified, etag, tuple(lists))


def _patterns(group: str) -> dict[str, str]:
    """Return what is read out of every record; `group` opens the place of each."""
    return {_ETAG: rf'"{group}{_PLAIN}(?:\\"{_PLAIN})*+)"', _TIME: _text(group)}


def _text(group: str) -> str:
    return f'(?:"{group}{_PLAIN})"|null)'


def _object(names: tuple[str, ...], patterns: dict[str, str]) -> str:
    return rf"\{{{','.join(_member(name, patterns.get(name, _ANY)) for name in names)}\}}"


def _member(name: str, pattern: str) -> str:
    return f"{re.escape(json.dumps(name, ensure_ascii=False))}:{pattern}"
