"""The text of a queue message: plain JSON or base64 of it, strictly UTF-8.

Queue triggers take bytes (host.json `messageEncoding: none`), because the host answers what it can't decode with its
poison queue. Nothing is ever decoded with replacement: a letter that was lost on the way is not sent on.
"""

import base64
import binascii
import re
from typing import Final

from shared.errors import InvalidMessage

#: What decoding with replacement leaves of a letter.
LOST: Final = "\ufffd"
LOST_MEANS: Final = "which stands for a letter lost on the way"
_BOM: Final = b"\xef\xbb\xbf"
_BLANKS: Final = b" \t\r\n"  # RFC 8259, section 2
_URL_SAFE: Final = re.compile(rb"[A-Za-z0-9_-]+={0,2}")
_WIDE_BOMS: Final = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def decode(body: bytes) -> str:
    """Return the JSON text of a message, without BOM and blanks around it.

    After BOM and blanks `{` means JSON; anything else is strict standard base64 (RFC 4648, section 4) of UTF-8 JSON.

    Raises:
        InvalidMessage: one fault that says what the bytes are instead.
    """
    _refuse_wide(body)
    stripped = _stripped(body)
    text = stripped if stripped.startswith(b"{") else _unpacked(stripped)
    if not text.startswith(b"{"):
        raise InvalidMessage([_not_json(stripped)])
    return _utf8(text)


def encode(text: str) -> str:
    """Return how our own messages leave: base64 of UTF-8, as every consumer of Functions expects, and plain ASCII."""
    return base64.b64encode(text.encode()).decode()


def _unpacked(packed: bytes) -> bytes:
    try:
        body = base64.b64decode(packed, validate=True)
    except binascii.Error as error:
        raise InvalidMessage([_not_json(packed)]) from error
    _refuse_wide(body)
    return _stripped(body)


def _not_json(packed: bytes) -> str:
    if _URL_SAFE.fullmatch(packed) and len(packed) > 16 and any(mark in packed for mark in b"-_"):
        return "message: is URL-safe base64; write standard base64 (RFC 4648, section 4) or plain JSON"
    _utf8(packed)  # says so when it is no UTF-8
    return "message: must be JSON, a JSON object as plain text or as standard base64 of UTF-8"


def _refuse_wide(body: bytes) -> None:
    for bom, name in _WIDE_BOMS.items():
        if body.startswith(bom):
            raise InvalidMessage([f"message: is {name}; write UTF-8"])
    if b"\x00" in body[:4]:  # JSON begins with two ASCII characters: RFC 4627, section 3
        raise InvalidMessage(["message: must be JSON in UTF-8; this is UTF-16, UTF-32 or binary"])


def _stripped(body: bytes) -> bytes:
    return body.removeprefix(_BOM).strip(_BLANKS).removeprefix(_BOM).strip(_BLANKS)


def _utf8(body: bytes) -> str:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"0x{body[error.start]:02X} at position {error.start}"
        fault = f"message: is not UTF-8: byte {byte} (Windows-1252 and Latin-1 write letters such as ä so)"
        raise InvalidMessage([fault]) from error
    if LOST in text:
        raise InvalidMessage([f"message: holds U+FFFD at position {text.index(LOST)}, {LOST_MEANS}"])
    return text
