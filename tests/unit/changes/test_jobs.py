"""Jobs on our own queues: they survive the queue, keep their name, and avoid what the worker does to JSON bodies."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.business_central.entities import ENTITIES
from shared.changes.jobs import GROUP, NotificationJob, PageJob, RecordChange
from shared.errors import InvalidMessage

#: Members of a JSON body that the Functions worker takes for the message's own properties (worker issue 1373).
STOLEN = {"id", "dequeueCount", "insertionTime", "expirationTime", "nextVisibleTime", "popReceipt"}
#: A queue message holds 64 KiB of base64.
QUEUE_BYTES = 48 * 1024

guids = st.uuids().map(str)
texts = st.text(max_size=30)
page_jobs = st.builds(
    PageJob, run=st.from_regex(r"[0-9a-f]{32}", fullmatch=True), purpose=st.sampled_from(["pull", "watch", "compare"]),
    mode=st.sampled_from(["full", "delta", "list"]), company=guids, entity=st.sampled_from(sorted(ENTITIES)),
    partition=st.integers(0, 3), page=st.integers(1, 10**6), link=texts, since=texts, low=texts, high=texts,
    phase=st.sampled_from(["records", "nested", "commit", "settle"]), after=texts, began=texts,
    after_ids=st.lists(guids, max_size=5).map(tuple), rows=st.integers(0, 20_000), total=st.integers(0, 10**6),
    redrive=st.integers(0, 9),
)  # fmt: skip
changes = st.builds(RecordChange, key=guids, kind=st.sampled_from(["created", "updated", "deleted"]), at=texts)
notification_jobs = st.builds(
    NotificationJob, job=st.text(min_size=1, max_size=30), company=guids, entity=st.sampled_from(sorted(ENTITIES)),
    changes=st.lists(changes, max_size=5).map(tuple), collection=st.sampled_from(["", "filtered", "plain"]),
    redrive=st.integers(0, 9),
)  # fmt: skip


@given(page_jobs)
def test_a_page_job_survives_the_queue(job: PageJob) -> None:
    """What is read is what was written."""
    assert PageJob.from_text(job.to_text()) == job


@given(notification_jobs)
def test_a_notification_job_survives_the_queue(job: NotificationJob) -> None:
    """What is read is what was written."""
    assert NotificationJob.from_text(job.to_text()) == job


@given(page_jobs, notification_jobs)
def test_no_member_is_one_that_the_worker_takes_away(page: PageJob, notification: NotificationJob) -> None:
    """None of the names that replace the message's own id and delivery count is used; `job` names the blob."""
    for text in (page.to_text(), notification.to_text()):
        members = json.loads(text)
        assert not STOLEN & set(members)
        assert members["job"]


@given(page_jobs)
def test_a_job_keeps_its_name_through_redrives_and_hands_on_another(job: PageJob) -> None:
    """Claims hang on the name: the same for every delivery and redrive, another for the next page."""
    again = PageJob.from_text(json.dumps({**json.loads(job.to_text()), "redrive": 7}))
    assert again.job == job.job
    after = job.next(phase="commit")
    assert after.job != job.job
    assert (after.page, after.redrive, after.run, after.partition) == (job.page + 1, 0, job.run, job.partition)


def test_a_full_job_fits_a_queue_message() -> None:
    """A hundred changes, or two hundred ties and a long link, stay below 48 KiB."""
    key = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"
    change = RecordChange(key=key, kind="created", at="2026-02-11T09:14:27.53Z" + "x" * 17)
    many = NotificationJob(job="j" * 40, company=key, entity="salesShipments", changes=(change,) * GROUP)
    assert len(many.to_text()) < QUEUE_BYTES
    page = PageJob(
        run="r" * 32, purpose="watch", mode="delta", company=key, entity="salesShipments", link="h" * 4000,
        after="2026-02-11T09:14:27.53Z", after_ids=(key,) * 200, low="n" * 20, high="n" * 20,
    )  # fmt: skip
    assert len(page.to_text()) < QUEUE_BYTES


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "[]", "5", "null", "{}", '{"run": "r"}',
        '{"run": "r", "purpose": "pull", "mode": "full", "company": "c", "entity": "customers"}',
    ],
)  # fmt: skip
def test_what_is_no_page_job_is_refused(text: str) -> None:
    """A message that is not ours is set aside at once, as no retry can help."""
    with pytest.raises(InvalidMessage):
        PageJob.from_text(text)


@pytest.mark.parametrize(
    "members",
    [
        {}, {"changes": []}, {"changes": 5}, {"changes": [5]}, {"changes": [["a", "b"]]}, {"changes": None},
        {"changes": [], "job": "j", "company": "c", "entity": "vendors"},
    ],
)  # fmt: skip
def test_what_is_no_notification_job_is_refused(members: dict[str, Any]) -> None:
    """As for pages."""
    with pytest.raises(InvalidMessage):
        NotificationJob.from_text(json.dumps(members))


def test_members_of_a_newer_version_are_ignored() -> None:
    """During a deployment both versions read one queue."""
    job = PageJob(run="r", purpose="pull", mode="full", company="c", entity="items")
    assert PageJob.from_text(json.dumps({**json.loads(job.to_text()), "invented": 1})) == job
