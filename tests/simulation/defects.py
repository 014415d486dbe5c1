"""Deliberate defects: each breaks one rule of the app from outside, in this process only, and must be caught.

A simulation that finds nothing shows nothing unless it can find something. Every defect names the rule it breaks and
where it shows quickest: how a run is bent so that few seeds are enough.
"""

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from business_central_emulator import Fault, FaultKind

from shared.business_central import client, page_queries, retry
from shared.business_central.records import Record
from shared.changes import cloud_events, ledger_rules, page_job, page_reader, plan_runs, pull_page, replica_lag, run_end
from shared.changes.ledger import Ledger
from shared.changes.ledger_rules import Decision, Known
from shared.changes.pulled_versions import PulledVersionStore
from shared.changes.run_progress import Role, RunStore
from shared.dead_letters import frame
from shared.orders import next_step, order_look_up, submit
from shared.orders import order_store as order_book
from shared.orders.next_step import Candidate
from shared.orders.order_entry import OrderEntry
from shared.orders.order_store import OrderStore
from shared.webhooks import receive
from shared.webhooks.delivery import parse_delivery
from tests.simulation.change_defects import CHANGE_DEFECTS
from tests.simulation.defect import Defect, Patch
from tests.simulation.order_defects import ORDER_DEFECTS

_BLIND: Final = retry.RetryPolicy(attempts=3)
_LATE: Final = Fault(
    kind=FaultKind.LATE_COMMIT, match="POST .*salesOrders", times=None, probability=0.6, late_s=200.0, queued=True
)
_NO_ANSWER: Final = Fault(kind=FaultKind.TIMEOUT_AFTER, match="POST .*salesOrders", times=None, probability=0.6)
_BAD_LINKS: Final = Fault(kind=FaultKind.SKIP_TOKEN, match="GET .*skiptoken", times=None, probability=0.7)
_FLAKY: Final = Fault(kind=FaultKind.UNAVAILABLE, match="GET ", times=None, probability=0.55)


# -- the patches, one function per defect


def _mark_first() -> list[Patch]:
    real = plan_runs.start_run

    def start(ctx: Any, stores: Any, state: Any, *rest: Any, **named: Any) -> Any:
        jobs = real(ctx, stores, state, *rest, **named)
        stores.streams.change(state.stream, lambda held: replace(held, watermark=ctx.now() if held.watermark else None))
        return jobs

    # what a lagging replica is read again for would mend it by chance
    return [(plan_runs, "start_run", start), (replica_lag, "note", lambda *_: None)]


def _no_overlap() -> list[Patch]:
    return [(plan_runs, "OVERLAP", timedelta(0))]


def _gt() -> list[Patch]:
    real = page_queries.page_query
    return [(page_queries, "page_query", lambda ask: real(ask).replace("Time%20ge%20", "Time%20gt%20"))]


def _blind_retry() -> list[Patch]:
    return [(retry, "ONCE", _BLIND)]


def _no_lookup() -> list[Patch]:
    return [(client.BusinessCentralClient, "find_orders", lambda *_, **__: [])]


def _no_settle() -> list[Patch]:
    return [(next_step, "SETTLE", timedelta(0))]


def _any_document() -> list[Patch]:
    def candidates(*given: Any) -> list[Candidate]:
        return [Candidate(document) for document in given[-1]]

    return [
        (order_look_up, "_candidates", candidates),
        (next_step, "may_be_ours", lambda *_: True),
        (next_step, "_is_older", lambda *_: False),
    ]


def _no_lease() -> list[Patch]:
    def write(book: OrderStore, entry: OrderEntry, stored: OrderEntry, _: Any) -> OrderEntry:
        held = book.at(entry.key, entry.company)
        etag, index = (held.etag, held.index) if held else ("", "")
        return real(book, replace(entry, etag=etag, hold=""), replace(stored, index=index, hold=""), [])

    real = OrderStore._write
    return [(OrderStore, "_write", write), (order_book, "LEASE_S", 0), (submit, "LEASE_S", 0)]


def _ledger_skipped() -> list[Patch]:
    def decide(*_: Any, **__: Any) -> Decision:
        return Decision(("created",), None)

    return [(ledger_rules, "decide", decide)]


def _others_claims_ignored() -> list[Patch]:
    real = ledger_rules.decide

    def decide(entity: Any, record: Any, known: Known | None, base: Any, *, job: str, **rest: Any) -> Decision:
        mine = replace(known, created_by=job) if known and known.created_by else known
        return real(entity, record, mine, base, job=job, **rest)

    return [(ledger_rules, "decide", decide)]


def _own_claims_silent() -> list[Patch]:
    real = ledger_rules.decide

    def decide(entity: Any, record: Any, known: Known | None, base: Any, *, job: str, **rest: Any) -> Decision:
        taken = replace(known, created_by="another") if known and known.created_by else known
        return real(entity, record, taken, base, job=job, **rest)

    return [(ledger_rules, "decide", decide)]


def _no_baseline() -> list[Patch]:
    return [(Ledger, "_entries", lambda *_: {})]


def _client_error_to_bc() -> list[Patch]:
    real = receive.receive

    def receive_or_refuse(*given: Any) -> receive.Reply:
        reply = real(*given)
        return reply if reply.jobs or reply.status == 200 else receive.Reply(400)

    def parse(body: bytes, **rest: Any) -> Any:
        delivery = parse_delivery(body, **rest)
        return replace(delivery, target=None) if delivery.collection else delivery  # takes a collection for nonsense

    return [(receive, "receive", receive_or_refuse), (receive, "parse_delivery", parse)]


def _our_clock() -> list[Patch]:
    real = run_end._later
    ahead = timedelta(minutes=40)
    return [(run_end, "_later", lambda watermark, began: real(watermark, began + ahead if began else None))]


def _no_ownership() -> list[Patch]:
    real = RunStore.take_page

    def take(*given: Any) -> Role:
        real(*given)
        return Role.GO

    return [(RunStore, "take_page", take)]


def _seen_skipped() -> list[Patch]:
    return [(PulledVersionStore, "load", lambda *_, **__: set())]


def _never_compared() -> list[Patch]:
    return [(plan_runs, "SNAPSHOT_EVERY", timedelta(days=365)), (plan_runs, "plan_snapshot", lambda *_: [])]


def _never_reconciled() -> list[Patch]:
    return [(plan_runs, "plan_delta", lambda *_: [])]


def _set_aside_lost() -> list[Patch]:
    return [(frame, "dead_letter", lambda *_, **__: None)]


def _first_page_only() -> list[Patch]:
    real = page_reader.read_page
    return [(page_job, "read_page", lambda *given: replace(real(*given), more=False))]


def _no_nested() -> list[Patch]:
    # the delta that reads far back once a day would make up for some
    no_wide = (plan_runs, "WIDE_OVERLAP", timedelta(0))
    kind = replace(pull_page.KIND, phase_after=lambda *_: "commit")
    return [(page_job, "KINDS", {**run_end.KINDS, "pull": kind}), no_wide]


def _doubt_rejects() -> list[Patch]:
    def wait(entry: Any, error: Any, *_: Any, **__: Any) -> next_step.Reject:
        return next_step.Reject(error)

    return [(next_step, "wait_or_park", wait)]


def _status_alone() -> list[Patch]:
    def is_posted(record: Record, *_: Any, **__: Any) -> bool:
        return record.text("status") in {"Paid", "Canceled", "Corrective"}

    return [(ledger_rules, "_is_posted", is_posted)]


def _random_ids() -> list[Patch]:
    counter = itertools.count()
    real = cloud_events._event

    def numbered(*given: Any) -> str:
        head, _, rest = real(*given).partition('"id":"')
        return f'{head}"id":"{next(counter):08x}{rest[8:]}'

    return [(cloud_events, "_event", numbered)]


_DEAF: Final = {"is_deaf": True, "env": {"BC_CHANGES": "created,updated,deleted"}}
_CRASHES: Final = {"crash_p": 0.02, "nest_p": 0.02}
_MANY_ORDERS: Final = {"orders": 25, "spells": 0}

DEFECTS: Final[tuple[Defect, ...]] = (
    Defect("watermark first", "output before the watermark", _mark_first, {**_DEAF, "fault": _FLAKY}),
    Defect("no overlap", "a delta reads behind its watermark for late commits", _no_overlap,
           {**_DEAF, **_MANY_ORDERS, "fault": replace(_LATE, queued=False)}),
    Defect("gt", "rows of equal time over the edge of a page", _gt,
           {"fault": _BAD_LINKS, "page_rows": 3, "actions": 120, "collection_at": 1000, **_DEAF}),
    Defect("blind retry", "an order is not posted again without a look", _blind_retry,
           {**_MANY_ORDERS, "fault": _NO_ANSWER}),
    Defect("no look-up", "an order in doubt is looked up", _no_lookup, {**_MANY_ORDERS, "fault": _NO_ANSWER}),
    Defect("any document", "a document belongs to one order key", _any_document, {**_MANY_ORDERS, "fault": _NO_ANSWER}),
    Defect("no settle time", "a look-up waits until BC can no longer be at it", _no_settle,
           {**_MANY_ORDERS, "fault": _LATE}),
    Defect("no lease", "one worker at a time posts an order", _no_lease,
           {**_MANY_ORDERS, "nest_p": 0.3, "stall_p": 0.01}),
    Defect("ledger skipped", "a record is announced once", _ledger_skipped),
    Defect("others' claims ignored", "what another job announced is silent", _others_claims_ignored),
    Defect("own claims silent", "a job delivered again announces again", _own_claims_silent, _CRASHES),
    Defect("no baseline", "old records are no news", _no_baseline),
    Defect("4xx to BC", "the webhook route answers 2xx or 5xx", _client_error_to_bc, {"collection_at": 4}),
    Defect("our clock", "the watermark is BC's time", _our_clock, {"is_deaf": True}),
    Defect("no ownership", "a page's successor is started by one delivery", _no_ownership,
           {**_DEAF, "stall_p": 0.02, "nest_p": 0.1, "page_rows": 3, "actions": 100}),
    Defect("seen book skipped", "the overlap is silent", _seen_skipped),
    Defect("never compared", "what no delta shows is found by the compare", _never_compared, _DEAF),
    Defect("never reconciled", "what no notification told is found by the delta", _never_reconciled, _DEAF),
    Defect("set aside and lost", "a message that failed too often comes back", _set_aside_lost,
           {"crash_p": 0.03, "fault": _FLAKY, "actions": 80}),
    Defect("first page only", "a page enqueues the next", _first_page_only, {"page_rows": 3, **_DEAF}),
    Defect("variants by item only", "a changed variant is a changed item", _no_nested, {"actions": 80}),
    Defect("doubt rejects", "a transient fault is waited out", _doubt_rejects, {**_MANY_ORDERS, "fault": _NO_ANSWER}),
    Defect("posted by status", "a draft that gets its posted number is posted", _status_alone),
    Defect("random event ids", "the same change has the same id", _random_ids, _CRASHES),
    *ORDER_DEFECTS,
    *CHANGE_DEFECTS,
)  # fmt: skip
