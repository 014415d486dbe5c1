"""The soak in its short form: the long one is `python -m tests.soak`."""

from pathlib import Path

import pytest

from tests.soak.__main__ import soak
from tests.soak.report import Plan

pytestmark = pytest.mark.e2e


def test_forty_seconds_of_work_under_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    """The host is killed again and again in the middle of work; Business Central and the queues agree at the end."""
    plan = Plan(seconds=40, seed=4, life_s=(4.0, 8.0), pause_s=(0.2, 0.5))
    report = soak(plan, tmp_path)
    assert report.is_good, report.table()
    assert report.kills.total() >= 2
    checked = report.checked
    assert min(checked["items"], checked["salesShipments"], checked["salesInvoices"], checked["posted"]) > 0
    assert min(checked["created"], checked["rejected"], checked["pulled"]) > 0
