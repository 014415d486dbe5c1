"""Settings that a person gives a stack: the app's own rules, before anything starts."""

import pytest

from local.stack.given_settings import WrongSettings, given


@pytest.mark.parametrize(
    ("pairs", "environment", "found"),
    [
        ([], {}, {}),
        (["BC_TRIGGERS=items"], {}, {"BC_TRIGGERS": "items"}),
        ([], {"LOCAL_BC_TRIGGERS": "items"}, {"BC_TRIGGERS": "items"}),
        (["BC_PAGE_ROWS=10"], {"LOCAL_BC_PAGE_ROWS": "20"}, {"BC_PAGE_ROWS": "10"}),  # the command line wins
        ([], {"BC_TRIGGERS": "nothing", "LOCAL_HOST_LEASE_S": "2", "LOCAL_HOST_PORT": "7072"}, {}),  # not meant for it
        (["BC_COMPANIES=a=b"], {}, {"BC_COMPANIES": "a=b"}),
        (["AzureWebJobs.pull_items.Disabled=true"], {}, {"AzureWebJobs.pull_items.Disabled": "true"}),
        (["LOCAL_HOST_LEASE_S=2"], {}, {"LOCAL_HOST_LEASE_S": "2"}),
    ],
)
def test_options_win_over_the_environment(pairs: list[str], environment: dict[str, str], found: dict[str, str]) -> None:
    assert given(pairs, environment) == found


@pytest.mark.parametrize(
    ("pairs", "environment", "fault"),
    [
        (["BC_TRIGERS=items"], {}, "BC_TRIGERS is not a setting of this app; did you mean BC_TRIGGERS?"),
        (
            [],
            {"LOCAL_HOST_PRT": "7072"},
            "LOCAL_HOST_PRT is not a variable of the local stack; did you mean LOCAL_HOST_PORT?",
        ),
        ([], {"LOCAL_BC_CHANGE": "x"}, "BC_CHANGE is not a setting of this app; did you mean BC_CHANGES?"),
        (["bc_triggers=items"], {}, "bc_triggers is not a setting of this app; did you mean BC_TRIGGERS?"),
        (["WHATEVER_THAT_IS=1"], {}, "WHATEVER_THAT_IS is not a setting of this app; the README lists them"),
        (["BC_PAGE_ROWS=0"], {}, "BC_PAGE_ROWS must be a whole number from 1 to 20000"),
        (["BC_PAGE_ROWS"], {}, "'BC_PAGE_ROWS' is not NAME=VALUE"),
        (['BC_ENTITIES=[{"entityset": "customers"}]'], {}, "BC_ENTITIES entry 1"),
        (["BC_RECONCILE_SCHEDULE=hourly"], {}, "BC_RECONCILE_SCHEDULE must be NCRONTAB"),
    ],
)
def test_a_wrong_one_is_named_with_its_rule(pairs: list[str], environment: dict[str, str], fault: str) -> None:
    with pytest.raises(WrongSettings) as wrong:
        given(pairs, environment)
    (line,) = wrong.value.faults
    assert line.startswith(fault)


def test_all_wrong_ones_are_named_at_once() -> None:
    with pytest.raises(WrongSettings) as wrong:
        given(["BC_TRIGERS=items", "BC_PAGE_ROWS=x", "BC_AUTH_MODE=magic"], {})
    assert len(wrong.value.faults) == 3
