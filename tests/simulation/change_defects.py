"""Deliberate defects of what is read and announced: intents, claims, snapshots, timers, webhooks, what is set aside."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

from business_central_emulator import Fault, FaultKind

from shared.business_central import client, environment_api
from shared.business_central.port import Intent
from shared.changes import cloud_events, ledger_rules, notification_job, page_reader, snapshot_page
from shared.changes.broken_records import BrokenList
from shared.changes.ledger import Ledger
from shared.changes.run_progress import RunStore, Standing
from shared.connections.companies import Companies
from shared.dead_letters import frame
from shared.operations.second_clock import SecondClock
from shared.storage.table import Row, Upsert
from shared.webhooks import keep
from shared.webhooks.plan import Keep, Register, Renew
from shared.webhooks.plan import plan as plan_webhooks
from tests.simulation.defect import Defect, Patch

_EVERYTHING: Final = {"BC_CHANGES": "created,updated,deleted"}
_DEAF: Final = {"is_deaf": True, "env": _EVERYTHING}
_LAG: Final = Fault(kind=FaultKind.REPLICA_LAG, match="GET ", times=None, least_s=0.0, window_s=3600.0)
_CRASHES: Final = {"crash_p": 0.03, "nest_p": 0.05, "actions": 80, "env": _EVERYTHING}
_FLAKY: Final = Fault(kind=FaultKind.UNAVAILABLE, match="GET ", times=None, probability=0.55)
_SLOW_PAGES: Final = {"page_rows": 3, "actions": 120, "latency_s": 2.0, "env": {**_EVERYTHING, "BC_PAGE_ROWS": "3"}}


def _reads_uncommitted() -> list[Patch]:
    read = SimpleNamespace(CURRENT=Intent.CURRENT, COMMITTED=Intent.CURRENT)
    return [(module, "Intent", read) for module in (client, environment_api)]


def _companies_from_a_replica() -> list[Patch]:
    return [(client, "Intent", SimpleNamespace(CURRENT=Intent.COMMITTED, COMMITTED=Intent.COMMITTED))]


def _gone_by_a_replica() -> list[Patch]:
    def gone(ctx: Any, job: Any, there: set[str]) -> list[Any]:
        return [change for change in job.changes if change.kind == "deleted" and change.key not in there]

    return [(notification_job, "_deleted", gone)]


def _gone_at_first_miss() -> list[Patch]:
    return [(snapshot_page, "_missed_twice", lambda *given: given[-1])]


def _older_views_count() -> list[Patch]:
    real = ledger_rules._update

    def update(record: Any, row: Any, *rest: Any, **named: Any) -> Any:
        return real(record, replace(row, version_at=""), *rest, **named)

    return [(ledger_rules, "_update", update)]


def _broken_forgotten() -> list[Patch]:
    return [(BrokenList, "note", lambda *_: None)]


def _last_event_dropped() -> list[Patch]:
    real = cloud_events.pack

    def pack(events: Any) -> Any:
        listed = list(events)
        return real(listed[:-1] if len(listed) > 1 else listed)

    return [(cloud_events, "pack", pack)]


def _deleted_again() -> list[Patch]:
    return [(Ledger, "announce_deleted", lambda *_, **__: True)]


def _webhooks_twice() -> list[Patch]:
    def plan(*given: Any, **named: Any) -> list[Any]:
        steps = plan_webhooks(*given, **named)
        return [Register(step.wanted) if isinstance(step, Keep | Renew) else step for step in steps]

    return [(keep, "plan", plan)]


def _second_clock_silent() -> list[Patch]:
    return [(SecondClock, "look", lambda *_: ())]


def _poison_dropped() -> list[Patch]:
    return [(frame, "dead_letter_poison", lambda *_: None)]


def _ledger_without_etags() -> list[Patch]:
    real = Ledger._write

    def write(ledger: Ledger, key: str, row: Row | None, *rest: Any) -> Any:
        return Upsert(replace(real(ledger, key, row, *rest).row, etag=""))

    return [(Ledger, "_write", write)]


def _released_is_posted() -> list[Patch]:
    def is_posted(record: Any, *_: Any, **__: Any) -> bool:
        return record.text("status") in {"Open", "Paid", "Canceled", "Corrective"}

    return [(ledger_rules, "_is_posted", is_posted)]


def _any_date() -> list[Patch]:
    return [(page_reader, "_no_later", lambda served_at, _: served_at)]


def _names_kept() -> list[Patch]:
    return [(Companies, "forget", lambda _: None)]


def _dead_by_silence() -> list[Patch]:
    return [(RunStore, "standing", lambda *_: Standing(is_alive=False))]


CHANGE_DEFECTS: Final = (
    Defect("announces the uncommitted", "what is announced is read committed", _reads_uncommitted,
           {**_DEAF, "actions": 200, "spells": 0}),
    Defect("companies from a replica", "a company that is missing counts when current", _companies_from_a_replica,
           {"orders": 40, "spells": 0, "more_faults": (_LAG,), "forced": ("rename", "rename")}),
    Defect("gone by a replica", "a record is gone when what is current says so", _gone_by_a_replica,
           {**_DEAF, "actions": 120, "more_faults": (_LAG,)}, "compare"),
    Defect("gone at first miss", "an invoice is gone when two looks have missed it", _gone_at_first_miss,
           {**_DEAF, "actions": 120, "more_faults": (_LAG,)}, "compare"),
    Defect("older views count", "a replica that lags brings no old version back", _older_views_count,
           {"env": _EVERYTHING, "actions": 120, "more_faults": (_LAG,)}),
    Defect("broken forgotten", "what could not be read is read again", _broken_forgotten,
           {**_DEAF, "forced": ("broken",) * 8, "spells": 0, "actions": 80}),
    Defect("last event dropped", "all that is claimed is announced", _last_event_dropped, _DEAF),
    Defect("deleted again", "a delete is announced once", _deleted_again, {"env": _EVERYTHING, "actions": 80},
           "compare"),
    Defect("webhooks twice", "one webhook for each company and entity", _webhooks_twice),
    Defect("second clock silent", "timers that stop stop nothing", _second_clock_silent, {"forced": ("timers",)}),
    Defect("poison dropped", "a poison message becomes a dead letter", _poison_dropped, {**_CRASHES, "crash_p": 0.1}),
    Defect("ledger without ETags", "of two jobs one claims", _ledger_without_etags,
           {"nest_p": 0.3, "actions": 150, "env": _EVERYTHING}),
    Defect("released is posted", "a released draft is no posted invoice", _released_is_posted, {"actions": 150}),
    Defect("any date", "a Date in the future moves no watermark", _any_date,
           {**_DEAF, "forced": ("date", "date"), "actions": 80}),
    Defect("names kept", "a name that is not known is looked up anew", _names_kept,
           {"orders": 40, "spells": 0, "forced": ("rename", "rename")}),
    Defect("dead by silence", "slow is not dead", _dead_by_silence,
           {"latency_s": 5.0, "page_rows": 1, "actions": 150, "orders": 8, "spells": 0, "is_deaf": True}),
)  # fmt: skip
