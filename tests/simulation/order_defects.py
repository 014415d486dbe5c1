"""Deliberate defects of the orders: whose a document is, when an order is in doubt, what is final, what is answered."""

import json
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Final

from business_central_emulator import Fault, FaultKind

from shared.business_central import order_api
from shared.business_central.entities import SALES_ORDERS
from shared.business_central.port import Intent, PostedOrder
from shared.errors import BCDenied, BCRejected, BCUnavailable, BudgetExhausted, IntegrationError, TokenError
from shared.orders import likeness, next_step, order_look_up, order_message, order_rows, order_store, resume, submit
from shared.orders.order_entry import OrderEntry
from shared.orders.order_result import refusal
from shared.orders.order_store import OrderStore
from shared.outputs import Outputs
from tests.simulation.defect import Defect, Patch

_POST: Final = "POST .*salesOrders"


def _fault(kind: FaultKind, match: str = _POST, probability: float = 0.6, **more: Any) -> Fault:
    return Fault(kind=kind, match=match, times=None, probability=probability, **more)


_NO_ANSWER: Final = _fault(FaultKind.TIMEOUT_AFTER)
_NO_COMPANIES: Final = _fault(FaultKind.UNAVAILABLE, "/companies$", 0.8)
#: Every read is half an hour behind.
_HALF_AN_HOUR: Final = _fault(FaultKind.REPLICA_LAG, "GET ", 1.0, window_s=1800.0)
_ORDERS: Final = {"orders": 25, "spells": 0}
_IN_DOUBT: Final = {**_ORDERS, "fault": _NO_ANSWER}
_WITH_CLERKS: Final = {**_IN_DOUBT, "orders": 30, "actions": 90}
#: No post is carried out at first, so that only somebody else's document bears the number.
_STRANGERS: Final = {
    **_ORDERS,
    "fault": _fault(FaultKind.TIMEOUT_BEFORE, probability=0.8),
    "orders": 30,
    "actions": 150,
}
_CRASHES: Final = {**_ORDERS, "crash_p": 0.03, "nest_p": 0.02}


def _adopts_a_stranger() -> list[Patch]:
    return [(likeness, "likeness", lambda *_: "same"), (next_step, "_is_older", lambda *_: False)]


def _absence_from_a_replica() -> list[Patch]:
    return [(order_look_up, "Intent", SimpleNamespace(CURRENT=Intent.COMMITTED, COMMITTED=Intent.COMMITTED))]


def _presence_uncommitted() -> list[Patch]:
    return [(order_api, "Intent", SimpleNamespace(CURRENT=Intent.CURRENT, COMMITTED=Intent.CURRENT))]


def _digest_by_rendering() -> list[Patch]:
    return [(order_message, "_canonical", lambda value: json.dumps(value, default=str))]


def _row_removed_first() -> list[Patch]:
    return [(resume, "_REQUEUE", timedelta(days=365))]


def _impatient() -> list[Patch]:
    return [(next_step, "PATIENCE", timedelta(hours=1))]


def _leaves_late() -> list[Patch]:
    return [(next_step, "may_leave", lambda *_: True)]


def _claims_forgotten() -> list[Patch]:
    return [(OrderStore, "claimant", lambda *_: ""), (OrderStore, "_claims", lambda *_: [])]


def _hold_kept() -> list[Patch]:
    def save(book: OrderStore, entry: OrderEntry) -> OrderEntry:
        return book._write(entry, entry, book._claims(entry))

    return [(OrderStore, "save", save)]


def _before_forgotten() -> list[Patch]:
    real = next_step.after_look_up

    def after(*given: Any) -> next_step.Step:
        step = real(*given)
        return next_step.Post() if isinstance(step, next_step.Post) else step

    return [(next_step, "after_look_up", after), (next_step, "_is_older", lambda *_: False)]


def _transient_is_final() -> list[Patch]:
    return [(next_step, "_refusal", lambda error: "transient" if error.retryable else "final")]


def _doubt_forgotten() -> list[Patch]:
    real = next_step.wait_or_park
    return [(next_step, "wait_or_park", lambda *given, unknown: real(*given, unknown=False))]


def _copies_unanswered() -> list[Patch]:
    def joined_by(entry: OrderEntry, *senders: Any) -> OrderEntry:
        return entry if entry.senders else replace(entry, senders=senders)

    return [(OrderEntry, "joined_by", joined_by)]


def _redelivery_silent() -> list[Patch]:
    real = submit._known

    def known(ctx: Any, orders: Any, entry: OrderEntry, *rest: Any) -> Outputs | None:
        done = real(ctx, orders, entry, *rest)
        return Outputs() if done is not None and entry.reported_to == rest[1].message_id else done

    return [(submit, "_known", known)]


def _posted_ignored() -> list[Patch]:
    return [(order_api, "ORDER_TRACES", (SALES_ORDERS,))]


def _key_by_case() -> list[Patch]:
    real = order_message._request

    def request(order: Any, order_key: str, message_id: str, *rest: Any) -> Any:
        made = real(order, order_key, message_id, *rest)
        return replace(made, key=order_key.strip()) if order_key else made

    return [(order_message, "_request", request)]


def _unplaced_forgotten() -> list[Patch]:
    return [(submit, "_wait_unplaced", lambda *_: Outputs())]


def _moved_silent() -> list[Patch]:
    return [(resume, "_moved", lambda *_: None)]


def _customer_ignored() -> list[Patch]:
    return [(order_api, "_customer", lambda *_: ""), (order_api, "_is_of", lambda *_: True)]


def _more_lines_are_the_same() -> list[Patch]:
    def is_all(sent: list[Any], found: list[Any], *_: Any) -> bool:
        return all(any(one.names(line) and one.quantity == line.quantity for line in found) for one in sent)

    return [(likeness, "_is_all", is_all)]


def _pause_is_a_refusal() -> list[Patch]:
    real = next_step.after_post

    def after(entry: Any, answer: Any, *rest: Any) -> next_step.Step:
        is_pause = isinstance(answer, BudgetExhausted | TokenError)
        return next_step.Reject(BCRejected(str(answer))) if is_pause else real(entry, answer, *rest)

    return [(next_step, "after_post", after)]


def _denied_is_final() -> list[Patch]:
    real = next_step._refusal
    return [(next_step, "_refusal", lambda error: "final" if isinstance(error, BCDenied) else real(error))]


def _lost_answer_is_a_refusal() -> list[Patch]:
    real = next_step.after_post

    def after(entry: Any, answer: PostedOrder | IntegrationError, *rest: Any) -> next_step.Step:
        return next_step.Reject(answer) if isinstance(answer, BCUnavailable) else real(entry, answer, *rest)

    return [(next_step, "after_post", after)]


def _clocks_agree() -> list[Patch]:
    return [(next_step, "_CLOCKS", timedelta(0)), (next_step, "_CLOCKS_MOSTLY", timedelta(0))]


def _settles_early() -> list[Patch]:
    return [(next_step, "SETTLE", timedelta(minutes=4))]


def _no_due_time() -> list[Patch]:
    real = order_rows.index_key
    return [(order_store, "index_key", lambda entry: "" if entry.status == "waiting" else real(entry))]


def _doubt_rejects_early() -> list[Patch]:
    return [(next_step, "needs_look_up", lambda entry: False)]


def _results_go_back() -> list[Patch]:
    real = submit._answered

    def answered(orders: Any, entry: OrderEntry, *rest: Any, **named: Any) -> Outputs | None:
        done = real(orders, entry, *rest, **named)
        return done if entry.status != "created" else refusal("default", rest[1], entry.company, "")

    return [(submit, "_answered", answered)]


ORDER_DEFECTS: Final = (
    Defect("adopts a stranger", "a document with other content is no order of ours", _adopts_a_stranger, _STRANGERS),
    Defect("absence from a replica", "missing counts when current", _absence_from_a_replica,
           {**_IN_DOUBT, "more_faults": (_HALF_AN_HOUR,)}),
    Defect("presence uncommitted", "found counts when committed", _presence_uncommitted,
           {**_ORDERS, "fault": _fault(FaultKind.LATE_ROLLBACK, late_s=400.0)}),
    Defect("digest by rendering", "the same order written otherwise is a repeat", _digest_by_rendering, _ORDERS),
    Defect("row removed before its message left", "what waits stays until its work is done", _row_removed_first,
           {**_CRASHES, "fault": _NO_ANSWER}),
    Defect("impatient", "a transient fault is waited out for 72 hours", _impatient, {}, "outage"),
    Defect("leaves late", "a post leaves within a minute of its note", _leaves_late,
           {**_IN_DOUBT, "stall_p": 0.03, "nest_p": 0.2}),
    Defect("claims forgotten", "a document is claimed by one key", _claims_forgotten,
           {**_ORDERS, "orders": 80, "fault": _fault(FaultKind.TIMEOUT_BEFORE, probability=0.4),
            "more_faults": (_HALF_AN_HOUR,)}),
    Defect("hold kept", "an order with an outcome holds nothing back", _hold_kept, _WITH_CLERKS),
    Defect("before forgotten", "what bore the number before is not the order", _before_forgotten, _STRANGERS),
    Defect("transient is final", "a 4xx that passes is waited out", _transient_is_final,
           {**_ORDERS, "fault": _fault(FaultKind.TRANSIENT)}),
    Defect("doubt forgotten", "a lost answer may be an order", _doubt_forgotten, _IN_DOUBT),
    Defect("copies unanswered", "every message is answered", _copies_unanswered, {**_IN_DOUBT, "orders": 60}),
    Defect("redelivery silent", "a delivery after the outcome answers again", _redelivery_silent, _CRASHES),
    Defect("posted ignored", "an order is looked for in what is left of it once posted", _posted_ignored, _WITH_CLERKS),
    Defect("key by case", "keys are equal after trimming and upper-casing", _key_by_case, {**_ORDERS, "orders": 60}),
    Defect("unplaced forgotten", "an order without a company waits", _unplaced_forgotten,
           {**_ORDERS, "fault": _NO_COMPANIES}),
    Defect("moved silent", "what left its row under no company answers from its company's after a crash", _moved_silent,
           {**_CRASHES, "fault": _NO_COMPANIES}),
    Defect("customer ignored", "an order of another customer is another order", _customer_ignored, _STRANGERS),
    Defect("more lines are the same", "a document with other lines is not surely the order", _more_lines_are_the_same,
           _STRANGERS),
    Defect("pause is a refusal", "no slot and no token are waited out", _pause_is_a_refusal,
           {**_ORDERS, "forced": ("budget", "login")}),
    Defect("denied is final", "a missing permission is mended by a person", _denied_is_final,
           {**_ORDERS, "fault": _fault(FaultKind.UNAVAILABLE, status=403)}),
    Defect("lost answer is a refusal", "no answer is no refusal", _lost_answer_is_a_refusal, _IN_DOUBT),
    Defect("clocks agree", "clocks may lie minutes apart", _clocks_agree, {**_IN_DOUBT, "forced": ("clock", "clock")}),
    Defect("settles early", "BC may work on a post for eight minutes", _settles_early,
           {**_ORDERS, "fault": _fault(FaultKind.LATE_COMMIT, late_s=470.0, queued=True)}),
    Defect("no due time", "what waits comes back", _no_due_time, _IN_DOUBT),
    Defect("never looked up", "an order in doubt is looked up before a post", _doubt_rejects_early, _IN_DOUBT),
    Defect("results go back", "a created order stays created", _results_go_back, {**_ORDERS, "orders": 40}),
)  # fmt: skip
