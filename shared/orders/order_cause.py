"""What makes two refused or parked orders one case: the same outcome, code and reason but for what is the order's own.

Pure. Business Central writes the value it stumbled over into its message, so values are left out of the comparison.
"""

import re
from hashlib import sha256
from typing import Final

from shared.orders.order_entry import OrderEntry

#: What a message says of this order alone: quoted or bracketed values, ids, numbers.
_OWN: Final = re.compile(r"'[^']*'|\"[^\"]*\"|\([^)]*\)|\[[^\]]*\]|[\w.-]*\d[\w.-]*")


def cause_of(entry: OrderEntry) -> str:
    """Return the name of an order's case: 16 hex digits."""
    told = _OWN.sub("", entry.error)
    return sha256(f"{entry.status}|{entry.error_code}|{told}".encode(errors="surrogatepass")).hexdigest()[:16]


def why_no_redrive(entry: OrderEntry) -> str:
    """Return why trying an order again can't help, "" where it may."""
    if entry.is_erased:
        return "Trying again can't help: what it held is erased. Its sender sends it anew."
    if entry.error_code == "InvalidMessage" and not entry.error.startswith("company"):
        return "Trying again can't help: the message itself is wrong. Its sender corrects it and sends it anew."
    return ""
