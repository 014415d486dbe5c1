"""A replica that lags: a table as it was committed some time ago, whole transactions at a time.

Docs "Read scale-out" and Azure SQL's: reads without intent, or with `ReadOnly`, are answered by a replica that is
transactionally consistent and behind, without a bound; two replicas may differ.
"""

from datetime import datetime

from business_central_emulator.data.record import Record
from business_central_emulator.data.store import Past, Table


def as_of(table: Table, moment: datetime) -> Table:
    """Return the table as it was committed at a moment, at most `MAX_LAG` ago; itself when nothing changed since."""
    taken_back: dict[str, Past] = {}
    for past in reversed(table.past):
        if past.at <= moment:
            break
        taken_back[past.record.id] = past
    if not taken_back:
        return table
    rows = [record for record in table if record.id not in taken_back]
    for past in taken_back.values():
        if past.before is not None:
            record = Record(table.entity, past.before, past.record.created_at)
            record.version = past.version
            rows.append(record)
    view = Table(table.entity)
    view.load(rows)
    view.origin = table
    return view
