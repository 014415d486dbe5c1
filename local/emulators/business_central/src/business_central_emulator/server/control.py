"""The control paths under `/_emulator/`, as one table of names to functions on an engine; JSON in, JSON out.

They mirror the Python methods of the engine for those who are in another process. They need no token and are served
on loopback only.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

from business_central_emulator.data import errors, oracle
from business_central_emulator.data.record import Record
from business_central_emulator.data.schema import custom_entity
from business_central_emulator.data.store import new_row
from business_central_emulator.data.values import format_datetime
from business_central_emulator.engine import BusinessCentral
from business_central_emulator.server.exchange import Response
from business_central_emulator.server.faults import Fault
from business_central_emulator.webhooks.tampering import Tamper, TamperKind

PREFIX: Final = "/_emulator/"
Args = Mapping[str, Any]


def handle(engine: BusinessCentral, name: str, body: bytes) -> Response:
    """Run one control call; 404 for an unknown name, 400 with the reason for arguments it cannot use."""
    command = COMMANDS.get(name.strip("/"))
    if command is None:
        return _json(404, {"error": f"no control path {name}", "known": sorted(COMMANDS)})
    try:
        given = json.loads(body) if body.strip() else {}
        with engine.lock:
            return _json(200, command(engine, given))
    except errors.ApiError as error:
        return _json(400, {"error": error.message, "code": error.code})
    except (KeyError, TypeError, ValueError) as fault:
        return _json(400, {"error": f"{type(fault).__name__}: {fault}"})


def _json(status: int, value: Any) -> Response:
    return Response(status=status, headers={"Content-Type": "application/json"}, body=json.dumps(value).encode())


def _record(engine: BusinessCentral, args: Args, entity_set: str | None = None) -> Record:
    """Find the row that `entitySet` and `id` (or `number`) name, in `company` or in any of them."""
    name = entity_set or args["entitySet"]
    companies = [args["company"]] if args.get("company") else list(engine.environment.companies)
    for company in companies:
        table = engine.table(name, company)
        found = table.get(args["id"]) if "id" in args else table.find("number", args["number"])
        if found is not None:
            return found
    raise errors.segment_not_found(name)


def _values(args: Args) -> dict[str, Any]:
    return dict(args.get("values") or {})


def _reset(engine: BusinessCentral, _args: Args) -> Any:
    engine.reset()
    return {}


def _state(engine: BusinessCentral, args: Args) -> Any:
    state = engine.oracle()
    if "entitySet" not in args:
        return state
    name = args["entitySet"]
    kept = {key: one["records"].get(name, {}) for key, one in state["companies"].items()}
    return {"records": kept, "history": [event for event in state["history"] if event["entitySet"] == name]}


def _advance(engine: BusinessCentral, args: Args) -> Any:
    advance: Callable[[float], Any] | None = getattr(engine.clock, "advance", None)
    if advance is None:
        raise ValueError("this clock cannot be moved")
    advance(float(args["seconds"]))
    engine.settle()
    return {"now": format_datetime(engine.environment.now())}


def _create(engine: BusinessCentral, args: Args) -> Any:
    if "openForSeconds" in args:  # a transaction that ends later, perhaps in a rollback
        rest = {name: value for name, value in args.items() if name not in ("openForSeconds", "commits")}
        with engine.user.transaction(float(args["openForSeconds"]), commits=bool(args.get("commits", True))):
            return _create(engine, rest)
    name, count = args["entitySet"], int(args.get("count", 1))
    made = []
    for _ in range(count):
        match name:
            case "salesOrders":
                record = engine.user.create_order(args.get("lines", ()), company=args.get("company"), **_values(args))
            case "salesInvoices":
                record = engine.user.create_invoice(args.get("lines", ()), company=args.get("company"), **_values(args))
            case "salesShipments":
                record = engine.user.create_shipment(
                    args.get("lines", ()), company=args.get("company"), **_values(args)
                )
            case "items":
                record = engine.user.create_item(company=args.get("company"), **_values(args))
            case "customers":
                record = engine.user.create_customer(company=args.get("company"), **_values(args))
            case _:
                record = engine.user.create(name, _values(args), company=args.get("company"))
        made.append(oracle.record_json(record))
    return made[0] if count == 1 and "count" not in args else made


def _update(engine: BusinessCentral, args: Args) -> Any:
    record = _record(engine, args)
    engine.user.update(record, _values(args))
    return oracle.record_json(record)


def _delete(engine: BusinessCentral, args: Args) -> Any:
    engine.user.delete(_record(engine, args))
    return {}


def _post_order(engine: BusinessCentral, args: Args) -> Any:
    order = _record(engine, args, "salesOrders")
    posted = engine.user.post_order(order, ship=args.get("ship", True), invoice=args.get("invoice", True))
    return {
        "shipment": None if posted.shipment is None else oracle.record_json(posted.shipment),
        "invoice": None if posted.invoice is None else oracle.record_json(posted.invoice),
        "orderDeleted": posted.order_deleted,
    }


def _post_invoice(engine: BusinessCentral, args: Args) -> Any:
    invoice = _record(engine, args, "salesInvoices")
    engine.user.post_invoice(invoice)
    return oracle.record_json(invoice)


def _pay_invoice(engine: BusinessCentral, args: Args) -> Any:
    invoice = _record(engine, args, "salesInvoices")
    engine.user.pay_invoice(invoice, args.get("amount"))
    return oracle.record_json(invoice)


def _cancel_invoice(engine: BusinessCentral, args: Args) -> Any:
    invoice = _record(engine, args, "salesInvoices")
    engine.user.cancel_invoice(invoice)
    return oracle.record_json(invoice)


def _release(engine: BusinessCentral, args: Args) -> Any:
    document = _record(engine, args)
    engine.user.release(document)
    return oracle.record_json(document)


def _inventory(engine: BusinessCentral, args: Args) -> Any:
    item = _record(engine, args, "items")
    engine.user.adjust_inventory(item, args["quantity"])
    return oracle.record_json(item)


def _bulk_items(engine: BusinessCentral, args: Args) -> Any:
    made = engine.bulk_items(
        int(args["count"]), int(args.get("variantsPerItem", 0)), company=args.get("company"),
        step_ms=float(args.get("stepMs", 10)),
    )  # fmt: skip
    return {"items": len(made), "first": made[0]["number"], "last": made[-1]["number"]}


def _add_company(engine: BusinessCentral, args: Args) -> Any:
    company = engine.add_company(args["name"], display_name=args.get("displayName", ""))
    return {"id": company.id, "name": company.name}


def _add_fault(engine: BusinessCentral, args: Args) -> Any:
    fault = engine.faults.add(Fault.from_json(args))
    return _fault_json(fault)


def _fault_json(fault: Fault) -> dict[str, Any]:
    return asdict(fault) | {"ends": None if fault.ends is None else format_datetime(fault.ends)}


def _faults(engine: BusinessCentral, _args: Args) -> Any:
    return {"script": [_fault_json(fault) for fault in engine.faults.script], "broken": engine.faults.broken}


def _clear_faults(engine: BusinessCentral, _args: Args) -> Any:
    engine.faults.clear()
    engine.webhooks.tampering.rules.clear()
    return {}


def _break_record(engine: BusinessCentral, args: Args) -> Any:
    record = _record(engine, args)
    engine.faults.broken[record.id] = args.get("kind", "500")
    return {"id": record.id}


def _tamper(engine: BusinessCentral, args: Args) -> Any:
    given = dict(args)
    rule = Tamper(kind=TamperKind(given.pop("kind")), **given)
    engine.webhooks.tampering.rules.append(rule)
    return asdict(rule)


def _delete_subscriptions(engine: BusinessCentral, args: Args) -> Any:
    wanted = [args["id"]] if "id" in args else [row.id for row in engine.environment.subscriptions]
    for subscription_id in wanted:
        engine.delete_subscription_silently(subscription_id)
    return {"deleted": wanted}


def _age_subscription(engine: BusinessCentral, args: Args) -> Any:
    """Make a subscription `hours` older than it is: its end comes nearer, as if that much time had passed."""
    table = engine.environment.subscriptions
    row = table.get(args["id"])
    if row is None:
        raise errors.segment_not_found("subscriptions")
    values = row.values()
    ends = values["expirationDateTime"] - timedelta(hours=float(args["hours"]))
    table.replace_row(row, new_row(row.entity, values | {"expirationDateTime": ends}))
    return {"expirationDateTime": format_datetime(ends)}


def _copy_environment(engine: BusinessCentral, _args: Args) -> Any:
    engine.copy_environment()
    return {}


def _webhook_logs(engine: BusinessCentral, _args: Args) -> Any:
    return {
        "log": [asdict(line) | {"at": format_datetime(line.at)} for line in engine.webhooks.log],
        "deliveries": [asdict(one) | {"at": format_datetime(one.at)} for one in engine.webhooks.deliveries],
    }


def _limits(engine: BusinessCentral, args: Args) -> Any:
    engine.limits.enforced = bool(args["enforced"])
    return {"enforced": engine.limits.enforced}


def _add_api(engine: BusinessCentral, args: Args) -> Any:
    """Publish custom API pages; a set has `name`, `type`, `columns` and perhaps `order`, `navs`, `can`."""
    made = [
        custom_entity(
            one["name"], one["type"], one["columns"], order=tuple(one.get("order", ("id",))),
            navs=one.get("navs", ""), can=one.get("can", "IUD"),
        )
        for one in args["sets"]
    ]  # fmt: skip
    engine.add_api(args["route"], *made)
    return {"route": args["route"].lower(), "sets": [entity.name for entity in made]}


def _business_events(engine: BusinessCentral, args: Args) -> Any:
    engine.business_events.is_on = bool(args["on"])
    return {"on": engine.business_events.is_on}


def _drafts(engine: BusinessCentral, args: Args) -> Any:
    drafts = engine.drafts
    drafts.modified_by_reads = bool(args.get("modifiedByReads", drafts.modified_by_reads))
    drafts.read_only_fails = bool(args.get("readOnlyFails", drafts.read_only_fails))
    drafts.readers = set(args.get("readers", drafts.readers))
    return {"pending": sorted(drafts.pending), "modifiedByReads": drafts.modified_by_reads}


def _rename_company(engine: BusinessCentral, args: Args) -> Any:
    company = engine.rename_company(args["company"], name=args.get("name"), display_name=args.get("displayName"))
    return {"id": company.id, "name": company.name, "displayName": company.display_name}


def _latency(engine: BusinessCentral, args: Args) -> Any:
    engine.latency.base_s = float(args.get("base_s", engine.latency.base_s))
    engine.latency.per_row_us = float(args.get("per_row_us", engine.latency.per_row_us))
    engine.latency.bytes_per_s = float(args.get("bytes_per_s", engine.latency.bytes_per_s))
    return asdict(engine.latency)


COMMANDS: Final[Mapping[str, Callable[[BusinessCentral, Args], Any]]] = {
    "reset": _reset,
    "state": _state,
    "clock/advance": _advance,
    "records/create": _create,
    "records/update": _update,
    "records/delete": _delete,
    "records/break": _break_record,
    "orders/post": _post_order,
    "invoices/post": _post_invoice,
    "invoices/pay": _pay_invoice,
    "invoices/cancel": _cancel_invoice,
    "documents/release": _release,
    "items/inventory": _inventory,
    "items/bulk": _bulk_items,
    "companies/add": _add_company,
    "companies/rename": _rename_company,
    "apis/add": _add_api,
    "businessEvents": _business_events,
    "drafts": _drafts,
    "faults/add": _add_fault,
    "faults/list": _faults,
    "faults/clear": _clear_faults,
    "notifications/tamper": _tamper,
    "subscriptions/delete": _delete_subscriptions,
    "subscriptions/age": _age_subscription,
    "environment/copy": _copy_environment,
    "statistics": lambda engine, _args: engine.statistics(),
    "webhookLogs": _webhook_logs,
    "limits": _limits,
    "latency": _latency,
}
