"""The signature of Standard Webhooks 1.0.0, by which a receiver knows that an event is ours and whole.

Pure. The secret of the vault holds one key, or two while it is rotated: each `whsec_` and base64, a blank between them.
Each key gives one signature, so that receivers with either go on. Source: standard-webhooks, spec/standard-webhooks.md.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final

PREFIX: Final = "whsec_"
#: Bytes of a key: 192 to 512 bits.
_LEAST, _MOST = 24, 64
_RULE: Final = "one key, or two with a blank between them, each whsec_ and the base64 of 24 to 64 bytes"


def keys_of(secret: str) -> tuple[bytes, ...]:
    """Return the keys in a secret.

    Raises:
        ValueError: what the secret must be; the text holds no part of it.
    """
    words = secret.split()
    try:
        keys = tuple(base64.b64decode(word.removeprefix(PREFIX), validate=True) for word in words)
    except (binascii.Error, ValueError):
        raise ValueError(_RULE) from None  # its text may hold the value
    if not 1 <= len(keys) <= 2 or not all(_LEAST <= len(key) <= _MOST for key in keys):
        raise ValueError(_RULE)
    return keys


def sign(keys: tuple[bytes, ...], webhook_id: str, at_s: int, body: bytes) -> str:
    """Return the header `webhook-signature`; `at_s` is the time of this attempt in seconds since 1970."""
    content = b".".join((webhook_id.encode(), str(at_s).encode(), body))
    digests = (hmac.digest(key, content, hashlib.sha256) for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
