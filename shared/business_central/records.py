"""JSON in and out: records whose text is kept as Business Central sent it, digit for digit.

A record is decoded once to read the few properties that decide something, and forwarded as the very text it came in,
so no number is rounded and nothing is encoded again.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from shared.clock import NO_TIME, parse_time
from shared.guid import is_guid

#: Python refuses to convert a longer whole number (`sys.int_max_str_digits`), and nobody here computes with one.
_MOST_DIGITS: Final = 4000
UNUSABLE_ID: Final = "an entry without a usable id"


def record_decoder(on_constant: Callable[[str], Any]) -> json.JSONDecoder:
    """Return a decoder of records; `on_constant` is called for `NaN`, `Infinity` and `-Infinity`, which are not JSON.

    Numbers that nobody computes with stay texts: decimals, and whole numbers beyond what Python converts.
    """
    return json.JSONDecoder(parse_float=str, parse_int=_whole, parse_constant=on_constant)


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_READER: Final = record_decoder(_refuse)


@dataclass(slots=True)  # frozen would cost a microsecond a record
class Record:
    """One record: `raw` is its JSON text on one line; beside it what decides something, read out of it once.

    The decoded record itself is not kept: a page of them would take five times the memory of their text.
    """

    raw: str
    key: str  # the record's id, lower case
    number: str = ""
    status: str = ""
    modified_text: str = ""  # lastModifiedDateTime as it came
    tags: str = ""  # its ETag and those of its expanded records, one a line
    expanded_times: tuple[str, ...] = ()  # lastModifiedDateTime of its expanded records
    _version: str = field(default="", init=False, repr=False, compare=False)  # once it was asked for

    @property
    def fields(self) -> dict[str, Any]:
        """The record decoded anew (decimals as text): for the few that need more of it."""
        return dict(_READER.decode(self.raw))

    def text(self, name: str) -> str:
        """Return a text property, "" when absent or without a name."""
        if not name:
            return ""
        if name in _READ_OUT:
            return str(getattr(self, _READ_OUT[name]))
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""

    @property
    def modified(self) -> datetime:
        """`lastModifiedDateTime`; year 1 when the record has none."""
        return parse_time(self.modified_text) or NO_TIME

    @property
    def newest(self) -> datetime:
        """The newest `lastModifiedDateTime` of the record and its expanded records; year 1 when there is none."""
        return max(parse_time(text) or NO_TIME for text in {self.modified_text, *self.expanded_times})

    @property
    def expanded_tags(self) -> tuple[str, ...]:
        """The ETags of its expanded records."""
        return tuple(self.tags.split("\n")[1:])

    @property
    def version(self) -> str:
        """Digest of the record's ETag and those of its expanded records: changes whenever one of them does.

        ETags, not times: a recorded PATCH left lastModifiedDateTime unchanged while the ETag moved, and a changed
        variant does not touch its item.
        """
        if not self._version:
            self._version = sha256((self.tags or self.raw).encode()).hexdigest()[:16]
        return self._version


_READ_OUT: Final = {"number": "number", "status": "status", "lastModifiedDateTime": "modified_text"}


def make_record(raw: str, fields: dict[str, Any], key: str = "id") -> Record:
    """Return the record of a JSON text and what it decodes to; `is_usable` has been asked.

    `key` is the property that holds its id.

    Raises:
        ValueError: half a surrogate pair in a text that is read out, or lists nested too deeply.
    """
    tags: list[str] = []
    times: list[str] = []
    try:
        _look_inside(fields, tags, times)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    record = Record(
        _one_line(raw),
        fields[key].lower(),
        _text(fields.get("number")),
        _text(fields.get("status")),
        _text(fields.get("lastModifiedDateTime")),
        "\n".join(tags),
        tuple(times),
    )
    if "\\u" in raw:
        # raises UnicodeEncodeError, a ValueError
        f"{record.number}{record.status}{record.modified_text}{record.tags}".encode()
    return record


def _look_inside(fields: dict[str, Any], tags: list[str], times: list[str]) -> None:
    if "@odata.etag" in fields:
        tags.append(str(fields["@odata.etag"]))
    for member in fields.values():
        if type(member) is list:  # as the decoder makes them; a plain comparison, for there are many members
            for entry in member:
                if type(entry) is dict:
                    times.append(_text(entry.get("lastModifiedDateTime")))
                    _look_inside(entry, tags, times)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def parse_record(body: bytes) -> Record:
    """Return the one record of an entity answer.

    Raises:
        ValueError: the body is not a JSON object with an id, or nested too deeply to be read.
    """
    text = body.decode("utf-8-sig").strip()
    try:
        fields, end = _READER.raw_decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if end != len(text) or not isinstance(fields, dict) or not is_usable(fields):
        raise ValueError("not a record")
    return make_record(text, fields)


def is_usable(fields: dict[str, Any], key: str = "id") -> bool:
    """Return whether a decoded record has an id, which is a GUID."""
    return is_guid(fields.get(key))


def _one_line(raw: str) -> str:
    # A line break can only be space between tokens here: inside a JSON string it is always escaped.
    return raw.replace("\r", " ").replace("\n", " ") if "\n" in raw or "\r" in raw else raw
