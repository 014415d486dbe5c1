"""What a route of the app needs around it in a test: a deployment of one connection, and an output binding."""

import azure.functions as func

from shared import services


class Only:
    """The services of a deployment with one connection."""

    ids = ("default",)

    def __init__(self, connection: services.Connection) -> None:
        self._connection = connection

    def working(self) -> dict[str, services.Connection]:
        """All of them."""
        return {"default": self._connection}

    def connection(self, _: str) -> services.Connection:
        """The only one."""
        return self._connection


class Box(func.Out[list[str]]):
    """An output binding."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def set(self, val: list[str]) -> None:
        """Take what leaves."""
        self.texts = val

    def get(self) -> list[str]:
        """What has left."""
        return self.texts
