"""The truth, as JSON values: every record of every company and what happened to it, in order."""

from typing import Any

from business_central_emulator.data.environment import Environment
from business_central_emulator.data.record import Record
from business_central_emulator.data.values import format_datetime, plain


def record_json(record: Record) -> dict[str, Any]:
    """Return a row with its hidden columns and its ETag."""
    return {"@odata.etag": record.etag()} | {name: plain(value) for name, value in record.values().items()}


def snapshot(environment: Environment) -> dict[str, Any]:
    """Return companies with their records, subscriptions, and the history of the whole environment."""
    companies = {
        company.id: {
            "name": company.name,
            "records": {
                name: {record.id: record_json(record) for record in table}
                for name, table in company.tables.items()
                if len(table)
            },
        }
        for company in environment.companies.values()
    }
    history = [
        {
            "seq": event.seq,
            "at": format_datetime(event.at),
            "company": event.company_id,
            "entitySet": event.entity_set,
            "id": event.record_id,
            "kind": event.kind,
            "number": event.number,
        }
        for event in environment.history
    ]
    subscriptions = [record_json(record) for record in environment.subscriptions]
    return {"companies": companies, "subscriptions": subscriptions, "history": history}
