"""The one exception that ends the host with a line a person can act on."""

from typing import Final

FAILED: Final = 1
BAD_CONFIG: Final = 2
BAD_APP: Final = 3  # of the worker process alone: the host runs on without functions
PORT_IN_USE: Final = 4
NO_STORAGE: Final = 5


class HostError(Exception):
    """The host cannot go on; the message is one line for the person at the terminal, the exit code one for scripts."""

    def __init__(self, message: str, exit_code: int = BAD_CONFIG) -> None:
        super().__init__(" ".join(message.split()))
        self.exit_code = exit_code
