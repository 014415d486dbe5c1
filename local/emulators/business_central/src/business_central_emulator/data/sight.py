"""What a read gets to see of the rows: broken, stale or missing ones, by script."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from business_central_emulator.data import errors
from business_central_emulator.data.record import Record


@dataclass(frozen=True, slots=True)
class Sight:
    """What one request sees."""

    now: datetime
    broken: Mapping[str, str]  # record id -> "500" or "dialog"
    stale_s: float = 0.0
    missing_s: float = 0.0

    @property
    def is_clear(self) -> bool:
        """Whether rows need no look at all."""
        return not self.broken and not self.stale_s and not self.missing_s

    def row(self, record: Record) -> list[Any] | None:
        """Return the values that are seen, or None when the row is not seen yet.

        Raises:
            ApiError: the row is broken: 500, or a dialog error.
        """
        broken = self.broken.get(record.id)
        if broken == "dialog":
            raise errors.dialog("The record cannot be read: a date formula is not valid.")
        if broken is not None:
            raise errors.server_error()
        if self.missing_s and record.created_at > self.now - timedelta(seconds=self.missing_s):
            return None
        if self.stale_s:
            at = record.entity.position.get("lastModifiedDateTime")
            is_fresh = at is not None and record.row[at] > self.now - timedelta(seconds=self.stale_s)
            if is_fresh and record.previous is None:
                return None
            if is_fresh:
                return record.previous
        return record.row
