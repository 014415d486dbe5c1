"""Claims: which delivery of a page job has to repeat what was claimed."""

from dataclasses import replace

import pytest

from shared.changes.claims import Claims
from shared.changes.jobs import PageJob
from shared.storage.table import Row

JOB = PageJob(run="r", purpose="pull", mode="delta", company="c", entity="items")
ID = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"


@pytest.mark.parametrize(
    ("ids", "by", "again", "repeats"),
    [
        ((), 0, 0, False),  # it has announced nothing
        ((ID,), 0, 0, True),  # delivered again, its output may be lost
        ((ID,), 0, 1, False),  # it was put again, and the first one got to work
        ((ID,), 1, 0, False),  # the first one comes late: who was put again for it has announced all
        ((ID,), 1, 1, True),
        ((ID,), None, 0, True),  # as 0.1.0 wrote it: nobody knows
    ],
)
def test_who_was_last_at_work_repeats_and_nobody_else(
    ids: tuple[str, ...], by: int | None, again: int, repeats: bool
) -> None:
    """Each row is a delivery of a job that is out of date (P5)."""
    assert Claims(ids, by).may_be_of(replace(JOB, again=again)) is repeats


@pytest.mark.parametrize("claims", [Claims(), Claims((ID,)), Claims((ID,), 0), Claims((ID,), 12)])
def test_claims_survive_their_row(claims: Claims) -> None:
    """And a message at work takes them over."""
    row = Row(partition="p", key="k", values=claims.to_values("ids"))
    assert Claims.from_row(row, "ids") == claims
    assert claims.with_work_of(replace(JOB, again=3)) == Claims(claims.ids, 3)
