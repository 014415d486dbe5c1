"""What differs between the pages of pull, reconcile and snapshot, as one row of functions each.

`page_job.py` and `run_end.py` call them and know no purpose by name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared.business_central.entities import Entity
from shared.changes import cloud_events
from shared.changes.change_stores import ChangeStores
from shared.changes.jobs import PageJob, Phase
from shared.changes.ledger_rules import Announcement
from shared.changes.page_reader import Reading
from shared.changes.streams import StreamState
from shared.connections.context import Context
from shared.outputs import Outputs


def _change_event(origin: cloud_events.Origin, entity: Entity, one: Announcement) -> str:
    return cloud_events.change_event(origin, entity, one.change, one.record)


def _nothing(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageKind:
    """One purpose of reading."""

    #: What a page has to announce; whatever must be remembered of it is stored before this returns.
    news: Callable[[Context, ChangeStores, PageJob, Reading], list[Announcement]]
    #: The text of one event.
    event: Callable[[cloud_events.Origin, Entity, Announcement], str] = _change_event
    #: Whether the job has announced something, so that it may not be dropped.
    has_claims: Callable[[ChangeStores, PageJob], bool]
    #: Whether an earlier delivery of a message whose job is out of date can have announced something that got lost on
    #: its way.
    may_have_announced: Callable[[Context, ChangeStores, PageJob, StreamState], bool]
    #: What a message that was put again does once it has taken its page, as the others are dropped from now on.
    take_over: Callable[[ChangeStores, PageJob], None] = _nothing
    #: Whether nothing of a page that was read ahead is news; nothing is claimed for it, as it may never come.
    knows: Callable[[Context, ChangeStores, PageJob, Reading], bool] = lambda _ctx, _stores, _job, _reading: False
    #: The phase behind the last page of one.
    phase_after: Callable[[Context, PageJob, StreamState], Phase] = lambda _ctx, _job, _state: "commit"
    #: Whether a record that could not be read is kept on the list of broken ones; else its run only counts it.
    keeps_broken: bool = True
    #: Whether nobody has announced a record that could not be read, and no snapshot holds it.
    is_new: Callable[[ChangeStores, PageJob, str], bool] = lambda _stores, _job, _key: False
    #: What the commit sends out before the run ends in another execution; None: it ends at once.
    before_end: Callable[[Context, ChangeStores, PageJob], Outputs] | None = None
    #: What happens just before the watermark moves; takes BC's time when the run's first page was answered.
    at_end: Callable[[Context, ChangeStores, PageJob, datetime | None], None] = _nothing
    #: How many snapshots a run adds.
    snapshots: int = 0
    #: What is no longer needed once the run is complete.
    tidy: Callable[[Context, ChangeStores, PageJob, StreamState], None] = _nothing
    #: Whether a run that was asked for meanwhile starts as soon as this one is complete, or waits for the timer.
    follows_at_once: bool = True
