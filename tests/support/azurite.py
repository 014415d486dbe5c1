"""One Azurite for a test session, in memory; a session without it skips what needs it, with the reason."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.stack.azurite import ENTRY, Azurite
from local.stack.process import StartError


@contextmanager
def running_azurite(folder: Path) -> Iterator[str]:
    """Run Azurite with its log in `folder` and give its connection string.

    `REQUIRE_AZURITE=1` turns a skip for want of it into a failure, so that a check run cannot pass by skipping.
    """
    emulator = Azurite(log_path=folder / "azurite.log")
    try:
        emulator.start()
    except StartError as error:
        if ENTRY.is_file() or os.environ.get("REQUIRE_AZURITE"):
            raise
        pytest.skip(f"needs Azurite: {error}")
    try:
        yield emulator.connection_string
    finally:
        emulator.stop()
