"""A module that is imported when something of it is first used.

The Functions worker imports the app before it answers anything, a handshake of Business Central included (P1); what a
handshake does not need is loaded by the first call that does.
"""

from importlib import import_module
from typing import Any


class FirstUse:
    """Stands for a module of that name; the interpreter's own locks let one thread import it."""

    def __init__(self, name: str) -> None:
        """Import nothing yet."""
        self._name = name

    def __getattr__(self, name: str) -> Any:
        """Return what the module has under a name."""
        return getattr(import_module(self._name), name)
