"""The bytes of a queue message: what is taken, and what is refused in words that say what it is (P19)."""

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import message_text
from shared.errors import InvalidMessage

TEXT = '{"name": "Müller 鍵 €", "quantity": 3.0}'
RAW = TEXT.encode()
BOM = b"\xef\xbb\xbf"

TAKEN = {
    "plain": RAW,
    "plain with BOM": BOM + RAW,
    "blanks around": b"\r\n\t " + RAW + b" \n",
    "BOM, then blanks": BOM + b"\n" + RAW,
    "base64": base64.b64encode(RAW),
    "base64 with blanks around": b"\n" + base64.b64encode(RAW) + b"\r\n",
    "base64 with BOM before it": BOM + base64.b64encode(RAW),
    "base64 with BOM in it": base64.b64encode(BOM + RAW),
    "base64 with blanks in it": base64.b64encode(b" \n" + RAW),
}
NUL = b"\x00"


@pytest.mark.parametrize("name", TAKEN)
def test_the_same_text_comes_of_every_encoding_that_is_taken(name: str) -> None:
    """Plain or base64, with or without BOM."""
    assert message_text.decode(TAKEN[name]) == TEXT


def test_a_nul_behind_the_first_four_bytes_is_for_the_parser() -> None:
    """In UTF-16 and UTF-32 one of the first four is NUL."""
    assert message_text.decode(b'{"ab' + NUL + b'": 1}') == '{"ab\x00": 1}'


LONG = json.dumps({"name": "ÿÿÿ>>>???" * 9}, ensure_ascii=False).encode()
REFUSED = {
    "UTF-16 with BOM": (TEXT.encode("utf-16"), "is UTF-16"),
    "UTF-16 without BOM": (TEXT.encode("utf-16-le"), "UTF-16"),
    "UTF-16 big endian": (TEXT.encode("utf-16-be"), "UTF-16"),
    "UTF-32": (TEXT.encode("utf-32"), "is UTF-32"),
    "base64 of UTF-16": (base64.b64encode(TEXT.encode("utf-16")), "is UTF-16"),
    "cp1252": ('{"name": "Müller"}'.encode("cp1252"), "not UTF-8: byte 0xFC at position 11"),
    "base64 of cp1252": (base64.b64encode('{"name": "Müller"}'.encode("cp1252")), "not UTF-8: byte 0xFC"),
    "Latin-1, no JSON": ("Müller".encode("latin-1"), "not UTF-8: byte 0xFC at position 1"),
    "U+FFFD": ('{"name": "M\ufffdller"}'.encode(), "holds U+FFFD at position 11"),
    "base64 of U+FFFD": (base64.b64encode('{"name": "M\ufffdller"}'.encode()), "holds U+FFFD"),
    "URL-safe base64": (base64.urlsafe_b64encode(LONG), "is URL-safe base64"),
    "17 characters of URL-safe base64": (b"abcd-efgh_ijklmno", "is URL-safe base64"),
    "a word": (b"abcd-efgh_ijklmn", "must be JSON"),
    "words with a dash": (b"neither JSON - nor base64", "must be JSON"),
    "NUL among the first four": (b'{"a' + NUL + b'": 1}', "binary"),
    "no padding": (base64.b64encode(b'{"a": 1}').rstrip(b"="), "must be JSON"),
    "line breaks inside base64": (base64.encodebytes(LONG), "must be JSON"),
    "words": (b"neither JSON nor base64", "must be JSON"),
    "a list": (b"[1, 2]", "must be JSON"),
    "XML": (b"<order/>", "must be JSON"),
    "binary": (bytes(range(256)), "binary"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused_in_words_that_say_what_it_is(name: str) -> None:
    """One fault, so that the sender can mend it; the content is not repeated."""
    body, said = REFUSED[name]
    with pytest.raises(InvalidMessage) as caught:
        message_text.decode(body)
    (fault,) = caught.value.faults
    assert fault.startswith("message: ")
    assert said in fault
    assert "Müller" not in fault


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    """Whatever comes, it is a text or an InvalidMessage."""
    with suppress(InvalidMessage):
        assert "\ufffd" not in message_text.decode(body)


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4))
def test_what_a_queue_sdk_sends_is_what_it_was_given(document: dict[str, str]) -> None:
    """Plain and base64 come to the same text."""
    text = json.dumps(document, ensure_ascii=True)
    assert message_text.decode(text.encode()) == message_text.decode(base64.b64encode(text.encode())) == text
