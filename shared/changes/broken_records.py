"""The list of what Business Central could not serve: records by id, or places between two rows where one must lie.

Nothing on it is lost: every run of a delta reads again what is due on it (`mend_page.py`), until it heals (P13). What
fails again later is called broken in the log; at first sight it may be a passing fault.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, cast

from shared.changes.change_stores import ChangeStores
from shared.changes.jobs import STORED_PURPOSES, Mode, PageJob, Phase
from shared.changes.single_reader import Lost
from shared.changes.streams import Stream
from shared.clock import NO_TIME
from shared.log import log_event
from shared.storage.keys import after, row_key
from shared.storage.table import Row, Table, Value

log: Final = logging.getLogger(__name__)

#: It is read again a little later, for a day by every run, and then more seldom.
FIRST_AGAIN: Final = timedelta(minutes=5)
FIRST_DAY: Final = timedelta(hours=24)
LATER_EVERY: Final = timedelta(hours=6)
#: So many are read again in one page.
MOST: Final = 100
_REASON: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A record, or a place, that could not be read."""

    key: str = ""  # its id, if that could be read
    mode: Mode = "delta"  # the read that met it
    phase: Phase = "records"
    low: str = ""  # without an id: the sort value of the row before it, or where the slice begins
    high: str = ""  # and of the row behind it; "": to the end
    run: str = ""  # the run that met it
    is_new: bool = False  # nobody has announced it, and it is in no snapshot
    since: datetime = NO_TIME
    tries: int = 1
    next_at: datetime = NO_TIME
    reason: str = ""

    @property
    def name(self) -> tuple[str, ...]:
        """What distinguishes it from others."""
        return (self.key,) if self.key else ("at", self.mode, self.phase, self.low, self.high)

    def narrowed(self, lost: Lost) -> "Broken":
        """Return one record or place in it; what was behind its last row that could be read ends where it does."""
        high = "" if lost.key else lost.high or self.high
        return replace(self, key=lost.key, low=lost.low, high=high, reason=lost.reason)

    def failed_again(self, now: datetime, reason: str) -> "Broken":
        """Return it after one more try."""
        wait = timedelta(0) if now - self.since < FIRST_DAY else LATER_EVERY
        return replace(self, tries=self.tries + 1, next_at=now + wait, reason=reason)


class BrokenList:
    """What is broken in one stream, in table BcRecords."""

    def __init__(self, stores: ChangeStores, stream: Stream) -> None:
        """Take the stores and the stream."""
        self._table: Table = stores.records
        self._streams = stores.streams
        self._stream = stream
        self._partition = row_key(stores.connection, stream.company, stream.entity, "broken")
        self._prefix = row_key(STORED_PURPOSES[stream.purpose]) + "|"

    def all(self) -> list[Broken]:
        """Return all that is on the list."""
        return [_broken(row) for row in self._table.query(self._partition, self._prefix, after(self._prefix))]

    def note(self, found: Iterable[Broken], now: datetime) -> None:
        """Put some on the list; one that is on it stays as it is."""
        held = {one.name for one in self.all()}
        new = [replace(one, since=now, next_at=now + FIRST_AGAIN) for one in found if one.name not in held]
        for one in new:
            self._put(one)
            self._log(one, "record.unread", logging.WARNING)
        if new:
            self._count()

    def settle(self, healed: Iterable[Broken], failed: Iterable[Broken]) -> None:
        """Keep what failed again, then take off the list what could be read: what is left of it is on it by then."""
        failed = list(failed)
        for one in failed:
            self._put(one)
            if one.tries == 2:
                self._log(one, "record.broken", logging.ERROR)
        kept = {one.name for one in failed}
        for one in healed:
            if one.name not in kept:
                self._table.delete(self._partition, self._key(one))
        self._count()

    def _put(self, one: Broken) -> None:
        values: dict[str, Value] = {
            "record": one.key, "mode": one.mode, "phase": one.phase, "low": one.low, "high": one.high, "run": one.run,
            "is_new": one.is_new, "since": one.since, "tries": one.tries, "next_at": one.next_at,
            "reason": one.reason[:_REASON],
        }  # fmt: skip
        self._table.upsert(Row(partition=self._partition, key=self._key(one), values=values))

    def _count(self) -> None:
        held = self.all()
        mend_at = min((one.next_at for one in held), default=None)
        self._streams.change(self._stream, lambda state: replace(state, unreadable=len(held), mend_at=mend_at))

    def _key(self, one: Broken) -> str:
        return self._prefix + row_key(*one.name)

    def _log(self, one: Broken, event: str, level: int) -> None:
        place = "" if one.key else f"a row between {one.low or 'the first'} and {one.high or 'the last'}: "
        log_event(
            log, event, level=level, company=self._stream.company, entity=self._stream.entity, record_id=one.key,
            kind=self._stream.purpose, reason=place + one.reason, run=one.run,
        )  # fmt: skip


def broken_in(job: PageJob) -> Broken:
    """Return what is known of anything broken that a page job met; what is behind a slice another slice reads."""
    return Broken(mode=job.mode, phase=job.phase, run=job.run, high=job.slice.high if job.mode == "full" else "")


def _broken(row: Row) -> Broken:
    return Broken(
        key=row.text("record"), mode=cast("Mode", row.text("mode") or "delta"),
        phase=cast("Phase", row.text("phase") or "records"), low=row.text("low"), high=row.text("high"),
        run=row.text("run"), is_new=bool(row.number("is_new")), since=row.time("since") or NO_TIME,
        tries=row.number("tries"), next_at=row.time("next_at") or NO_TIME, reason=row.text("reason"),
    )  # fmt: skip
