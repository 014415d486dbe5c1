"""Jobs on our own queues: they survive the queue, keep their name, and avoid what the worker does to JSON bodies."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.business_central.entities import ENTITIES
from shared.changes.jobs import (
    GROUP,
    Cursor,
    Job,
    NotificationJob,
    PageJob,
    RecordChange,
    Slice,
    group_changes,
    parse_job,
)
from shared.errors import InvalidMessage

#: Members of a JSON body that the Functions worker takes for the message's own properties (worker issue 1373).
STOLEN = {"id", "dequeueCount", "insertionTime", "expirationTime", "nextVisibleTime", "popReceipt"}
#: A queue message holds 64 KiB of base64.
QUEUE_BYTES = 48 * 1024

guids = st.uuids().map(str)
texts = st.text(max_size=30)
cursors = st.builds(
    Cursor, link=texts, last=texts, done=st.lists(guids, max_size=5).map(tuple), linked=texts, doubts=st.integers(0, 3),
    rows=st.integers(0, 20_000), most_rows=st.integers(0, 20_000),
)  # fmt: skip
page_jobs = st.builds(
    PageJob, run=st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    purpose=st.sampled_from(["pull", "reconcile", "snapshot"]),
    mode=st.sampled_from(["full", "delta", "list"]), company=guids, entity=st.sampled_from(sorted(ENTITIES)),
    slice=st.builds(Slice, number=st.integers(0, 3), since=texts, low=texts, high=texts), page=st.integers(1, 10**6),
    phase=st.sampled_from(["records", "expanded", "mend", "commit", "settle"]), cursor=cursors, began=texts,
    total=st.integers(0, 10**6), redrive=st.integers(0, 9), again=st.integers(0, 9),
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
    assert (after.page, after.run, after.slice) == (job.page + 1, job.run, job.slice)
    assert (after.redrive, after.again) == (0, 0)


def test_a_full_job_fits_a_queue_message() -> None:
    """A hundred changes, or two hundred ties and a long link, stay below 48 KiB."""
    assert GROUP == 100
    key = "7b1c4a52-91d3-f011-8d4c-6045bd1a2c10"
    change = RecordChange(key=key, kind="created", at="2026-02-11T09:14:27.53Z" + "x" * 17)
    many = NotificationJob(job="j" * 40, company=key, entity="salesShipments", changes=(change,) * GROUP)
    assert len(many.to_text()) < QUEUE_BYTES
    page = PageJob(
        run="r" * 32, purpose="reconcile", mode="delta", company=key, entity="salesShipments",
        cursor=Cursor(link="h" * 4000, last="2026-02-11T09:14:27.53Z", done=(key,) * 200),
        slice=Slice(low="n" * 20, high="n" * 20),
    )  # fmt: skip
    assert len(page.to_text()) < QUEUE_BYTES


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "[]", "5", "null", "{}", '{"run": "r"}',
        '{"run": "r", "purpose": "pull", "mode": "full", "company": "c", "entity": "items", "page": "1"}',
        '{"run": 7, "purpose": "pull", "mode": "full", "company": "c", "entity": "items"}',
        '{"run": "r", "purpose": "pull", "mode": "never", "company": "c", "entity": "items"}',
        '{"kind": "notification", "job": "j", "company": "c", "entity": "items", "changes": []}',
    ],
)  # fmt: skip
def test_what_is_no_page_job_is_refused(text: str) -> None:
    """A message that is not ours is set aside at once, as no retry can help."""
    with pytest.raises(InvalidMessage):
        PageJob.from_text(text)


@pytest.mark.parametrize(
    "members",
    [
        {}, {"changes": []}, {"changes": 5}, {"changes": None},
        {"changes": [5], "job": "j", "company": "c", "entity": "items"},
        {"changes": [["k", "created"]], "job": "j", "company": "c", "entity": "items"},
        {"changes": [["k", "created", "", ""]], "job": "j", "company": "c", "entity": "items"},
        {"changes": [{"k": 1, "created": 2, "": 3}], "job": "j", "company": "c", "entity": "items"},
        {"changes": [["k", "moved", ""]], "job": "j", "company": "c", "entity": "items"},
        {"kind": "page", "changes": [], "job": "j", "company": "c", "entity": "items"},
        {"kind": ["notification"], "changes": [], "job": "j", "company": "c", "entity": "items"},
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


def test_what_a_message_does_not_say_is_the_first_page_read_for_the_first_time() -> None:
    """A message holds its members as its release knew them; those it did not know begin at nothing."""
    text = '{"run": "r", "purpose": "pull", "mode": "full", "company": "c", "entity": "items"}'
    job = parse_job(text)
    assert job == PageJob(run="r", purpose="pull", mode="full", company="c", entity="items")
    said = json.loads(job.to_text())
    assert said["page"] == 1
    for counted in ("partition", "jumps", "rows", "most_rows", "total", "redrive", "again"):
        assert said[counted] == 0, counted
    change = parse_job('{"changes": [], "job": "j", "company": "c", "entity": "items"}')
    assert change == NotificationJob(job="j", company="c", entity="items")
    said = json.loads(change.to_text())
    assert (said["compared"], said["redrive"]) == (False, 0)


@pytest.mark.parametrize(
    "job",
    [
        PageJob(run="r", purpose="pull", mode="full", company="c", entity="items"),
        NotificationJob(job="j", company="c", entity="items"),
    ],
)
def test_the_facts_of_an_entity_are_no_part_of_its_job(job: Job) -> None:
    """They are looked up after each delivery; the job is the same with them and without, and so is what is printed."""
    with pytest.raises(ValueError, match="nobody has looked up the entity items"):
        job.entity_row()
    known = replace(job, row=ENTITIES["items"])
    assert known.entity_row() == ENTITIES["items"]
    assert known == job
    assert repr(known) == repr(job)


def test_a_record_is_looked_at_once_though_it_was_announced_often() -> None:
    """A created record stays created when it was changed since, an updated one is as old as its last change."""
    changes = [
        RecordChange(key="a", kind="updated", at="1"), RecordChange(key="b", kind="created", at="1"),
        RecordChange(key="a", kind="updated", at="2"), RecordChange(key="b", kind="updated", at="2"),
        RecordChange(key="c", kind="updated", at="1"), RecordChange(key="c", kind="created", at="2"),
    ]  # fmt: skip
    assert group_changes(changes) == [(changes[2], changes[1], changes[5])]


def test_a_deletion_stands_beside_what_was_made_or_changed() -> None:
    """Whether the record is really gone is seen when it is read."""
    changes = [
        RecordChange(key="a", kind="created", at="1"), RecordChange(key="a", kind="deleted", at="2"),
        RecordChange(key="a", kind="deleted", at="3"), RecordChange(key="a", kind="updated", at="4"),
    ]  # fmt: skip
    assert group_changes(changes) == [(changes[0], changes[2])]


def test_many_changes_are_cut_into_jobs_of_a_hundred() -> None:
    """In their order, the last group being the rest; no changes are no job."""
    changes = [RecordChange(key=str(number), kind="updated") for number in range(201)]
    groups = group_changes(changes)
    assert [len(group) for group in groups] == [100, 100, 1]
    assert [change for group in groups for change in group] == changes
    assert group_changes([]) == []


@given(page_jobs, notification_jobs)
def test_a_message_says_what_it_is(page: PageJob, notification: NotificationJob) -> None:
    """One parser reads both kinds; without a `kind`, as 0.1.0 wrote them, the members say it (P20)."""
    for job in (page, notification):
        members = json.loads(job.to_text())
        del members["kind"]
        assert parse_job(job.to_text()) == parse_job(json.dumps(members)) == job


def test_what_leaves_can_be_read_by_the_release_before() -> None:
    """The flat names and the words of 0.1.0, for as long as both may read one queue (P20)."""
    cursor = Cursor(link="l", last="a", done=("i",), linked="e", doubts=1, rows=5, most_rows=7)
    part = Slice(number=2, since="s", low="b", high="c")
    page = PageJob(
        run="r", purpose="snapshot", mode="list", company="c", entity="items", slice=part, page=3, phase="expanded",
        cursor=cursor, began="t", total=9, redrive=1, again=4,
    )  # fmt: skip
    assert json.loads(page.to_text()) == {
        "kind": "page", "job": "r-02-000003", "run": "r", "purpose": "compare", "mode": "list", "company": "c",
        "entity": "items", "partition": 2, "page": 3, "phase": "nested", "link": "l", "since": "s", "low": "b",
        "high": "c", "after": "a", "after_ids": ["i"], "edge": "e", "jumps": 1, "began": "t", "rows": 5, "total": 9,
        "redrive": 1, "most_rows": 7, "again": 4,
    }  # fmt: skip
    change = RecordChange(key="k", kind="updated", at="t")
    notification = NotificationJob(job="j", company="c", entity="items", changes=(change,), from_snapshot=True)
    assert json.loads(notification.to_text()) == {
        "kind": "notification", "job": "j", "company": "c", "entity": "items", "changes": [["k", "updated", "t"]],
        "collection": "", "compared": True, "redrive": 0,
    }  # fmt: skip
