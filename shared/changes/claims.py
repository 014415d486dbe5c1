"""What a page job has claimed: the ids it announces, and which of its messages was last at work.

A job delivered again announces what it claimed, as the output of its first delivery may be lost. Once it was put again
(`PageJob.again`), the message that got to work announces whatever the others have claimed, and these repeat nothing.
"""

from dataclasses import dataclass
from typing import Final

from shared.changes.jobs import PageJob
from shared.storage.packed_ids import gather, pack_ids, spread, unpack_ids
from shared.storage.table import Row, Value

_BY: Final = "by"


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of one job."""

    ids: tuple[str, ...] = ()
    by: int | None = None  # `again` of the message that was last at work; None in what 0.1.0 wrote

    def may_be_of(self, job: PageJob) -> bool:
        """Return whether an earlier delivery of this message can have announced them, dead letters included."""
        return bool(self.ids) and (self.by is None or job.again == self.by)

    def with_work_of(self, job: PageJob) -> "Claims":
        """Return them with a message that is at work on them now, and announces whatever others have claimed."""
        return Claims(self.ids, job.again)

    def to_values(self, name: str) -> dict[str, Value]:
        """Return properties that hold them, the ids under `name`."""
        return {**spread(name, pack_ids(self.ids)), _BY: "" if self.by is None else str(self.by)}

    @classmethod
    def from_row(cls, row: Row, name: str) -> "Claims":
        """Read what `to_values` made."""
        ids = dict.fromkeys(unpack_ids(gather(row, name)))
        by = row.text(_BY)
        return cls(tuple(ids), int(by) if by.isdecimal() else None)
