"""Splits a collection answer into records while its chunks are taken: a page is held once and not three times.

The time it takes grows with the length of the answer, however small the chunks and however large a record.
"""

import codecs
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from shared.business_central.record_shape import RecordShape, shape_of
from shared.business_central.records import UNUSABLE_ID, Record, is_usable, make_record, record_decoder

_SPACE: Final = " \t\r\n"
#: A number may be cut before its end as far as this, between `1` and `5` of `1.5` or `1e-5`.
_NUMBER_TAIL: Final = 3
#: From so many records on a shape is worth its pattern, which takes as long as decoding some hundred.
_WORTH_A_SHAPE: Final = 50
#: So many shapes of one page are learned: a list may have been empty in the first record, and BC knows no other reason.
_MOST_SHAPES: Final = 3


@dataclass(frozen=True, slots=True)
class Page:
    """One decoded page. `broken` says, per unusable entry of `value`, what is wrong with it."""

    records: list[Record]
    broken: list[str]
    next_link: str  # "" on the last page


def parse_page(chunks: Iterable[bytes], key: str = "id") -> Page:
    """Split a collection answer into records; `chunks` are its bytes, cut anywhere, `key` the property of their ids.

    Raises:
        ValueError: they are not a complete JSON object with an array `value`, or nested too deeply to be read.
    """
    text = _Text(chunks)
    records: list[Record] = []
    broken: list[str] = []
    next_link, found = "", False
    text.expect("{")
    while text.sign() != "}":
        name, _ = text.value()
        text.expect(":")
        if name == "value":
            found = True
            _read_records(text, records, broken, key)
        else:
            member, _ = text.value()
            if name == "@odata.nextLink" and isinstance(member, str):
                next_link = member
        if text.sign() == ",":
            text.expect(",")
    text.expect("}")
    text.expect_end()
    if not found:
        raise ValueError("no array named value in the answer")
    return Page(records, broken, next_link)


def _read_records(text: "_Text", records: list[Record], broken: list[str], key: str) -> None:
    text.expect("[")
    shape: RecordShape | None = None
    learned = 0
    while text.sign() != "]":
        if shape is None or not text.take_known(shape, records):
            fields, raw = text.value()
            try:
                records.append(_record(fields, raw, text.constants, key))
            except ValueError as error:
                broken.append(str(error))
            else:
                if len(records) > _WORTH_A_SHAPE and learned < _MOST_SHAPES:
                    shape, learned = shape_of(fields, key) or shape, learned + 1
        if text.sign() == ",":
            text.expect(",")
        elif text.sign() != "]":
            raise ValueError("array not closed")
    text.expect("]")


def _record(fields: object, raw: str, constants: list[str], key: str) -> Record:
    if not isinstance(fields, dict) or not is_usable(fields, key):
        raise ValueError(UNUSABLE_ID)
    if constants:
        raise ValueError(f"the record {fields[key].lower()} holds {constants[0]}, which is not JSON")
    try:
        return make_record(raw, fields, key)
    except ValueError as error:
        raise ValueError(f"the record {fields[key].lower()} holds what cannot be read: {error}") from error


class _Text:
    """The text of an answer, of which only what is not read yet is held."""

    __slots__ = ("_at", "_chunks", "_decoder", "_reader", "_text", "constants")

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self.constants: list[str] = []  # in the last value: NaN, Infinity
        self._reader = record_decoder(self.constants.append)

    def sign(self) -> str:
        """Return the next character that is no space; it stays."""
        while True:
            while self._at < len(self._text):
                sign = self._text[self._at]
                if sign not in _SPACE:
                    return sign
                self._at += 1
            if not self._more():
                raise ValueError("answer is cut short")

    def expect(self, sign: str) -> None:
        """Take a character that must come next."""
        if self.sign() != sign:
            raise ValueError(f"{sign} expected")
        self._at += 1

    def expect_end(self) -> None:
        """Take white space; nothing else may come."""
        while not (rest := self._text[self._at :].strip(_SPACE)) and self._more():
            pass
        if rest:
            raise ValueError("the answer goes on behind its end")

    def take_known(self, shape: RecordShape, records: list[Record]) -> bool:
        """Take the records that come next, and the commas between them, as long as they have a shape and are whole."""
        text, at = self._text, self._at
        while (known := shape.read(text, at)) is not None:
            record, self._at = known
            records.append(record)
            if not text.startswith(",", self._at):
                return True
            at = self._at + 1
        return at > self._at

    def value(self) -> tuple[Any, str]:
        """Take the next JSON value; return it decoded, and its text."""
        self.sign()
        while True:
            self.constants.clear()
            held = len(self._text) - self._at
            try:
                value, end = self._reader.raw_decode(self._text, self._at)
            except ValueError:
                if not self._more(held):  # twice as much, so that a large value is not tried again for every chunk
                    raise
                continue
            except RecursionError as error:
                raise ValueError("nested too deeply") from error
            if len(self._text) - end < _NUMBER_TAIL and self._text[end - 1].isdigit():
                began = self._at
                if self._more():
                    continue  # a number may go on in the next chunk
                end -= began
            raw = self._text[self._at : end]
            self._at = end
            return value, raw

    def _more(self, least: int = 1) -> bool:
        """Take chunks until `least` characters came; False when there are none left."""
        parts = [self._text[self._at :]]
        is_last = False
        while least > 0 and not is_last:
            chunk = next(self._chunks, None)
            is_last = chunk is None
            parts.append(self._decoder.decode(chunk or b"", final=is_last))
            least -= len(parts[-1])
        self._text = "".join(parts)
        self._at = 0
        return not is_last or len(parts) > 2
