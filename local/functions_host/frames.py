"""Messages over a stream between host and worker process: a length in four bytes, then a pickled object.

Pickle is safe here: both ends are this program, over a socket pair that no other process can reach.
"""

import asyncio
import pickle
import struct
from typing import Any

_LENGTH = struct.Struct(">I")


def to_frame(message: object) -> bytes:
    """Return a message as it is written."""
    content = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(content)) + content


async def read_frame(reader: asyncio.StreamReader) -> Any:
    """Return the next message.

    Raises:
        EOFError: the other side has ended.
    """
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return pickle.loads(await reader.readexactly(length))  # noqa: S301 - see the module's docstring
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise EOFError from error
