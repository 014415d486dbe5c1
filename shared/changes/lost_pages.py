"""Which pages nobody moves: a pure decision by what the rows of a connection's runs say.

A killed host's messages come back after ten minutes, a dead worker's after thirty seconds. A page that is surely not
moving need not wait for that: the timer of every minute puts it again, and what comes back later finds it done. How
long a *slow* page may take is another matter (`run_progress.py`): none is superseded by what is decided here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.clock import NO_TIME

#: A page that is at work for longer says so this often (`page_beat.py`); most never do, as they take a second.
BEAT: Final = timedelta(seconds=20)
#: Three beats that did not come: the worker is gone, or cut off from storage.
SILENT: Final = timedelta(seconds=60)
#: How long nothing of a connection moves before its queued pages count as lost, where the queue is shared with others.
SHARED_STANDSTILL: Final = timedelta(minutes=4)
#: After so long without a beat a worker looks whether the page is still its own before it announces anything.
DOUBT: Final = SILENT - timedelta(seconds=15)
#: Queues hand out messages in about the order in which they became visible.
DISORDER: Final = timedelta(seconds=30)
#: How often one page is put again so soon, each time after twice the silence; then it is left to its run's limit.
TRIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePage:
    """What a slice's row says of its newest page."""

    key: str  # of the row
    at: datetime  # when its message was put or let go, or when its worker last said that it is at work
    is_at_work: bool = False  # a delivery has taken it, and has neither ended nor failed
    is_queued: bool = False  # its message was put, and nobody has taken it
    queued_at: datetime = NO_TIME  # when the message of the page that was taken last had been put or let go
    put_again_at: datetime = NO_TIME
    again: int = 0  # how often it was put again


def lost(pages: Sequence[SlicePage], now: datetime, standstill: timedelta = SILENT) -> list[str]:
    """Return the keys of those of a connection's pages that are to be put again.

    At work: in silence. Queued: its turn has passed, as another that was put well after it was taken, or nothing of
    the connection has moved for `standstill`. To put a queued page again does no harm if it is only waiting: whichever
    message comes first reads it, the other does nothing. The end of a run knows no such copies: whoever calls decides
    whether it bears one. A page whose work failed is left to the queue, which delivers it again.
    """
    turn = max((page.queued_at for page in pages), default=NO_TIME)
    moved_at = max((page.at for page in pages), default=NO_TIME)
    is_still = moved_at + standstill <= now
    return [page.key for page in _silent(pages, now) if page.is_at_work or page.at + DISORDER < turn or is_still]


def _silent(pages: Iterable[SlicePage], now: datetime) -> Iterable[SlicePage]:
    for page in pages:
        is_ours = (page.is_at_work or page.is_queued) and page.again < TRIES  # beyond it grows without end
        if is_ours and _heard_of(page) + SILENT * 2**page.again <= now:
            yield page


def _heard_of(page: SlicePage) -> datetime:
    return max(page.at, page.put_again_at)
