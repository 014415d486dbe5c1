"""Splits a collection answer into records while its chunks are taken: a page is held once and not three times."""

import codecs
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from shared.business_central.records import READER, Record, is_usable, make_record

_SPACE: Final = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Page:
    """One decoded page. `broken` says, per unusable entry of `value`, what is wrong with it."""

    records: list[Record]
    broken: list[str]
    next_link: str  # "" on the last page


def parse_page(chunks: Iterable[bytes]) -> Page:
    """Split a collection answer into records; `chunks` are its bytes, cut anywhere.

    Raises:
        ValueError: they are not a complete JSON object with an array `value`.
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
            _read_records(text, records, broken)
        else:
            member, _ = text.value()
            if name == "@odata.nextLink" and isinstance(member, str):
                next_link = member
        if text.sign() == ",":
            text.expect(",")
    if not found:
        raise ValueError("no array named value in the answer")
    return Page(records, broken, next_link)


def _read_records(text: "_Text", records: list[Record], broken: list[str]) -> None:
    text.expect("[")
    while text.sign() != "]":
        fields, raw = text.value()
        if isinstance(fields, dict) and is_usable(fields):
            records.append(make_record(raw, fields))
        else:
            broken.append("an entry without a usable id")
        if text.sign() == ",":
            text.expect(",")
        elif text.sign() != "]":
            raise ValueError("array not closed")
    text.expect("]")


class _Text:
    """The text of an answer, of which only what is not read yet is held."""

    __slots__ = ("_at", "_chunks", "_decoder", "_text")

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0

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
        """Pass over a character that must come next."""
        if self.sign() != sign:
            raise ValueError(f"{sign} expected")
        self._at += 1

    def value(self) -> tuple[Any, str]:
        """Take the next JSON value; return it decoded, and its text."""
        self.sign()
        while True:
            try:
                value, end = READER.raw_decode(self._text, self._at)
            except ValueError:
                if not self._more():
                    raise
                continue
            if end == len(self._text) and self._more():
                continue  # a number may go on in the next chunk
            raw = self._text[self._at : end]
            self._at = end
            return value, raw

    def _more(self) -> bool:
        chunk = next(self._chunks, None)
        added = self._decoder.decode(chunk or b"", final=chunk is None)
        self._text = self._text[self._at :] + added
        self._at = 0
        return chunk is not None
