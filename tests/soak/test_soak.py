"""The soak in its short form: the long one is `python -m tests.soak`."""

from pathlib import Path

import pytest

from tests.soak.__main__ import soak
from tests.soak.kills import KINDS
from tests.soak.report import Plan

pytestmark = pytest.mark.e2e


def test_work_under_kills_of_every_kind_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Worker, host, both, scale-in and a third death in the middle of work; Business Central and the queues agree."""
    plan = Plan(seconds=25, seed=4, life_s=(1.0, 3.0), pause_s=(0.2, 0.5))
    report = soak(plan, tmp_path, print)
    assert report.is_good, report.table()
    assert set(KINDS) <= set(report.kills), report.table()
    checked = report.checked
    assert min(checked["items"], checked["salesShipments"], checked["salesInvoices"], checked["posted"]) > 0
    assert min(checked["created"], checked["rejected"], checked["pulled"]) > 0
