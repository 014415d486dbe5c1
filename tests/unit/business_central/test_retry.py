"""When a read is repeated: within its bounds, never sooner than asked, never where it cannot help."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.business_central.retry import ONCE, READ, RetryPolicy
from shared.errors import BCConflict, BCDenied, BCError, BCNotFound, BCRejected, BCThrottled, BCUnavailable

kinds = st.sampled_from([BCThrottled, BCUnavailable, BCConflict])
policies = st.builds(RetryPolicy, attempts=st.integers(1, 6), base_s=st.floats(0.01, 5), cap_s=st.floats(1, 60))
rolls = st.floats(0, 1, exclude_max=True)


@given(policies, kinds, st.integers(1, 8), rolls, st.none() | st.floats(0, 100))
def test_a_wait_stays_in_its_bounds(
    policy: RetryPolicy, kind: type[BCError], tried: int, roll: float, asked: float | None
) -> None:
    """Never above the cap, never below what BC asked for, never after the last try."""
    wait_s = policy.wait_s(kind("m", status=503, retry_after_s=asked), tried=tried, roll=roll)
    if tried >= policy.attempts or (asked is not None and asked > policy.cap_s):
        assert wait_s is None
        return
    assert wait_s is not None
    assert 0 <= wait_s <= policy.cap_s
    if asked is not None:
        assert wait_s == asked
    elif kind is BCThrottled:
        assert wait_s >= 1


@pytest.mark.parametrize(
    ("kind", "asked", "tried", "roll", "wait_s"),
    [
        (BCUnavailable, None, 1, 0.0, 0.0),
        (BCUnavailable, None, 1, 0.5, 0.25),
        (BCUnavailable, None, 2, 0.5, 0.5),
        (BCUnavailable, None, 3, 0.5, None),
        (BCThrottled, None, 1, 0.0, 1.0),
        (BCThrottled, None, 2, 0.5, 1.5),
        (BCUnavailable, 0.0, 1, 0.5, 0.0),
        (BCThrottled, 8.0, 1, 0.5, 8.0),
        (BCThrottled, 8.001, 1, 0.5, None),
    ],
)
def test_reads_are_tried_three_times_within_eight_seconds_each(
    kind: type[BCError], asked: float | None, tried: int, roll: float, wait_s: float | None
) -> None:
    """Half a second, then twice as much; a second more after a 429; what BC asks is obeyed up to eight seconds."""
    assert READ.wait_s(kind("m", status=503, retry_after_s=asked), tried=tried, roll=roll) == wait_s


def test_a_wait_doubles_up_to_the_cap() -> None:
    """What comes on top of a 429 stays below the cap as well."""
    policy = RetryPolicy(attempts=9, base_s=1.0, cap_s=5.0)
    unavailable, throttled = BCUnavailable("m", status=503), BCThrottled("m", status=429)
    assert [policy.wait_s(unavailable, tried=tried, roll=1.0) for tried in range(1, 6)] == [1, 2, 4, 5, 5]
    assert [policy.wait_s(throttled, tried=tried, roll=1.0) for tried in range(1, 6)] == [2, 3, 5, 5, 5]


def test_a_write_is_tried_once() -> None:
    assert ONCE.attempts == 1


@given(kinds, st.integers(1, 8), rolls)
def test_once_means_once(kind: type[BCError], tried: int, roll: float) -> None:
    """Writes are never repeated by the transport, whatever the fault and whatever BC asks."""
    assert ONCE.wait_s(kind("m", status=429, retry_after_s=0.0), tried=tried, roll=roll) is None


@pytest.mark.parametrize("error", [BCRejected("m", status=400), BCDenied("m", status=403), BCNotFound("m", status=404)])
def test_a_refusal_is_final(error: BCError) -> None:
    """The same request would be refused again."""
    assert READ.wait_s(error, tried=1, roll=0.5) is None


def test_504_is_never_asked_again() -> None:
    """It means "ask for less", not "ask again"; other faults of a gateway pass."""
    assert READ.wait_s(BCUnavailable("m", status=504), tried=1, roll=0.5) is None
    assert READ.wait_s(BCUnavailable("m", status=502), tried=1, roll=0.5) is not None
    assert READ.wait_s(BCUnavailable("m", status=0), tried=1, roll=0.5) is not None


@given(rolls, rolls)
def test_the_roll_spreads_the_waits(one: float, other: float) -> None:
    """Instances that failed together do not come back together: the wait grows with the roll."""
    waits = [READ.wait_s(BCUnavailable("m", status=503), tried=2, roll=roll) for roll in sorted((one, other))]
    assert None not in waits
    assert waits == sorted(w for w in waits if w is not None)
