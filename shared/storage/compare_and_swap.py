"""Compare and swap on table rows: read, decide, write if nobody was faster, else begin anew.

Owns how often that is tried; knows nothing of what the rows mean.
"""

from collections.abc import Callable
from typing import Final

from shared.errors import StateConflict
from shared.storage.table import Row, Table

TRIES: Final = 8


def until_stored[T](attempt: Callable[[], T], what: str) -> T:
    """Return what the first attempt returns that meets no conflict; an attempt reads anew what it decides on.

    Raises:
        StateConflict: `what` is contended without end; the queue delivers again.
    """
    for _ in range(TRIES):
        try:
            return attempt()
        except StateConflict:
            continue
    raise StateConflict(f"{what} is contended")


def change_row(
    table: Table, partition: str, key: str, edit: Callable[[Row | None], Row | None], what: str = ""
) -> Row | None:
    """Load a row (None: there is none), edit it, store it; return it as it stands then.

    `edit` returns None, or the very row it was given, to leave the table as it is. It may be called several times.

    Raises:
        StateConflict: the row is contended without end.
    """

    def attempt() -> Row | None:
        held = table.get(partition, key)
        edited = edit(held)
        if edited is None or edited is held:
            return held
        return table.insert(edited) if held is None else table.replace(edited)

    return until_stored(attempt, what or f"row {key}")
