"""What a page job has claimed: the ids it announces, and by which of its messages.

A job delivered again announces what it claimed, as the output of its first delivery may be lost. A message that was put
again (`PageJob.again`), or that it was put again for, and never got to work has announced nothing and repeats nothing.
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
    by: frozenset[int] = frozenset()  # `again` of the messages that were at work; none in what 0.1.0 wrote

    def may_be_of(self, job: PageJob) -> bool:
        """Say whether an earlier delivery of this message can have announced them, dead letters included."""
        return bool(self.ids) and (not self.by or job.again in self.by)

    def with_work_of(self, job: PageJob) -> "Claims":
        """Return them with a message that is at work on them now."""
        return Claims(self.ids, self.by | {job.again})

    def to_values(self, name: str) -> dict[str, Value]:
        """Return properties that hold them, the ids under `name`."""
        return {**spread(name, pack_ids(self.ids)), _BY: ",".join(map(str, sorted(self.by)))}

    @classmethod
    def from_row(cls, row: Row, name: str) -> "Claims":
        """Read what `to_values` made."""
        ids = dict.fromkeys(unpack_ids(gather(row, name)))
        return cls(tuple(ids), frozenset(int(one) for one in row.text(_BY).split(",") if one.isdecimal()))
