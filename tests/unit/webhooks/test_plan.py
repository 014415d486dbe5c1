"""The plan for webhooks: whatever BC holds, every wanted one is covered and nothing foreign is touched."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.business_central.port import Subscription, Wanted
from shared.clock import NO_TIME
from shared.webhooks.plan import LIFETIME, RENEW_AGE, Keep, Register, Remove, Renew, Step, plan

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
OWN = "https://connect.example/api/bc/notifications/"
FOREIGN = "https://other.example/api/bc/notifications/"


def want(n: int = 0) -> Wanted:
    """A webhook that should be there."""
    return Wanted(
        company="c", entity=f"e{n}", url=f"{OWN}{n}", resource=f"api/v2.0/companies(c)/e{n}", client_state="s"
    )


def held(n: int = 0, *, age: timedelta = timedelta(), prefix: str = OWN, name: str = "s") -> Subscription:
    """A webhook that BC holds."""
    return Subscription(
        subscription_id=name, url=f"{prefix}{n}", resource=f"api/v2.0/companies(c)/e{n}",
        expires_at=NOW - age + LIFETIME, etag="e",
    )  # fmt: skip


def steps_for(wanted: list[Wanted], existing: list[Subscription]) -> list[Step]:
    """Plan now."""
    return plan(wanted, existing, own_prefix=OWN, now=NOW)


def test_a_missing_webhook_is_registered() -> None:
    """BC has lost it, or never had it."""
    assert steps_for([want()], []) == [Register(want())]


def test_a_young_webhook_is_left_alone_and_an_old_one_renewed() -> None:
    """From the renewal age on, and not before: every renewal is a handshake."""
    just = RENEW_AGE - timedelta(seconds=1)
    assert steps_for([want()], [held(age=just)]) == [Keep(want(), held(age=just))]
    assert steps_for([want()], [held(age=RENEW_AGE)]) == [Renew(want(), held(age=RENEW_AGE))]


def test_the_renewal_age_leaves_time_for_many_tries() -> None:
    """P7: renewed by 48 hours of age at the latest, which is a day before BC drops it."""
    assert timedelta(hours=48) < LIFETIME
    assert timedelta(hours=48) - RENEW_AGE >= 90 * timedelta(minutes=15)


def test_a_webhook_lives_three_days_and_is_renewed_from_the_second_on() -> None:
    """The first is Microsoft's number, the second ours."""
    assert (timedelta(days=3), timedelta(hours=24)) == (LIFETIME, RENEW_AGE)


def test_of_doubled_webhooks_the_youngest_stays() -> None:
    """Two registrations that crossed would announce everything twice."""
    old, young = held(age=timedelta(hours=3), name="old"), held(age=timedelta(hours=1), name="young")
    assert steps_for([want()], [old, young]) == [Remove(old), Keep(want(), young)]


def test_an_orphan_of_ours_is_removed() -> None:
    """A company or entity that is no longer watched leaves no webhook behind."""
    assert steps_for([], [held()]) == [Remove(held())]


def test_a_webhook_of_another_resource_on_our_url_is_replaced() -> None:
    """The URL stands for one resource; a registration that says otherwise is not it."""
    wrong = Subscription(
        subscription_id="x", url=want().url, resource="api/v2.0/companies(d)/e0", expires_at=NOW, etag=""
    )
    assert steps_for([want()], [wrong]) == [Remove(wrong), Register(want())]


def test_the_resource_is_the_same_in_every_form() -> None:
    """BC stores it as given, and older registrations may have been made in another form."""
    for form in ("/api/v2.0/companies(c)/e0", "https://api.example/v2.0/x/API/v2.0/companies(C)/e0"):
        existing = Subscription(
            subscription_id="x", url=want().url, resource=form, expires_at=NOW + LIFETIME, etag=""
        )  # fmt: skip
        assert steps_for([want()], [existing]) == [Keep(want(), existing)]


@pytest.mark.parametrize("expires_at", [NO_TIME, NO_TIME + timedelta(days=1)])
def test_a_webhook_whose_expiry_cannot_be_read_is_renewed(expires_at: datetime) -> None:
    """One odd row of BC's list costs one renewal, and the others go on as ever (P7)."""
    odd = Subscription(subscription_id="odd", url=f"{OWN}0", resource=want().resource, expires_at=expires_at, etag="e")
    assert steps_for([want(), want(1)], [odd, held(1)]) == [Renew(want(), odd), Keep(want(1), held(1))]


def test_a_row_without_an_id_counts_as_absent() -> None:
    """It can be neither renewed nor removed: its key would be empty."""
    odd = Subscription(subscription_id="", url=f"{OWN}0", resource=want().resource, expires_at=NOW, etag="e")
    assert steps_for([want()], [odd]) == [Register(want())]


existing_ones = st.lists(
    st.builds(
        lambda n, hours, own, name: held(
            n, age=timedelta(hours=hours), prefix=OWN if own else FOREIGN, name=f"s{name}"
        ),
        st.integers(0, 5), st.integers(-1, 80), st.booleans(), st.integers(0, 10**6),
    ),
    max_size=12, unique_by=lambda one: one.subscription_id,
)  # fmt: skip


@given(st.sets(st.integers(0, 5)), existing_ones)
def test_after_the_plan_each_wanted_one_is_there_once_and_nothing_else_of_ours(
    numbers: set[int], existing: list[Subscription]
) -> None:
    """Carrying the plan out gives exactly the wanted webhooks, each young; those of others stay untouched."""
    wanted = [want(n) for n in sorted(numbers)]
    after = {one.subscription_id: one for one in existing}
    for step in steps_for(wanted, existing):
        match step:
            case Remove(gone):
                assert gone.url.startswith(OWN)
                del after[gone.subscription_id]
            case Renew(_, old):
                assert old.url.startswith(OWN)
                after[old.subscription_id] = held(int(old.url[len(OWN) :]), name=old.subscription_id)
            case Register(new):
                after[new.url] = held(int(new.url[len(OWN) :]), name=new.url)
            case Keep(_, kept):
                assert kept.expires_at - LIFETIME + RENEW_AGE > NOW
    assert sorted(one.url for one in after.values() if one.url.startswith(OWN)) == [one.url for one in wanted]
    assert all(one.expires_at > NOW for one in after.values() if one.url.startswith(OWN))
    foreign = [one for one in existing if not one.url.startswith(OWN)]
    assert [one for one in after.values() if not one.url.startswith(OWN)] == foreign


def test_the_plan_of_a_good_state_changes_nothing() -> None:
    """Run every 15 minutes, it asks BC for nothing but the list."""
    wanted, existing = [want(n) for n in range(3)], [held(n, name=str(n)) for n in range(3)]
    assert all(isinstance(step, Keep) for step in steps_for(wanted, existing))
