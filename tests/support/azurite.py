"""One Azurite for a test session, in memory; without it the session fails with the command to run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.stack.azurite import Azurite


@contextmanager
def running_azurite(folder: Path) -> Iterator[str]:
    """Run Azurite with its log in `folder` and give its connection string."""
    with Azurite(log_path=folder / "azurite.log") as emulator:
        yield emulator.connection_string
