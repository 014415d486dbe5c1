"""The soak's judge: what it compares, and that it does find what was lost, doubled or never happened."""

from typing import Any

import pytest

from tests.soak.report import Plan, Report, Sample
from tests.soak.truth import Account, Judge, Sent

_QUIET = {"dead_letters": [], "orders_waiting": 0, "orders_parked": 0}


class FakeEmulator:
    """A Business Central with one item since the soak began and one order."""

    def news(self, entity_set: str, since: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        if entity_set != "items":
            return {}, []
        return {"a": {}}, [{"seq": since + 1, "kind": "created", "id": "a"}]

    def records(self, entity_set: str) -> dict[str, dict[str, Any]]:
        return {"a": {"number": "1000", "@odata.etag": "e1"}} if entity_set == "items" else {}

    def orders(self) -> dict[str, list[str]]:
        return {"K": ["S-1"]}


@pytest.fixture
def account() -> Account:
    """Books in which all is well."""
    made = Account("UseDevelopmentStorage=true")
    made.sent = {"K": Sent("K", "K", True, "", 1), "R": Sent("R", "R", False, "", 1)}
    made.results["K"].append(("created", "S-1"))
    made.results["R"].append(("rejected", ""))
    made.told["created", "a"]["event-1"] += 1
    made.pulled["a"].add(("e1",))
    return made


def judged(account: Account, status: dict[str, Any] = _QUIET, **left: int) -> Report:
    report = Report(plan=Plan(seconds=1, seed=1))
    Judge(FakeEmulator(), account, 0).judge(report, status, left)  # type: ignore[arg-type]  # a fake of what it asks
    return report


def test_books_that_agree_are_good(account: Account) -> None:
    """One event, one result and one order each: nothing is found."""
    report = judged(account)
    assert report.is_good
    assert (report.checked["items"], report.checked["created"], report.checked["rejected"]) == (1, 1, 1)


def test_the_same_event_again_is_a_repeat_and_no_double(account: Account) -> None:
    """After a crash an event may come again under its id; it is counted."""
    account.told["created", "a"]["event-1"] += 1
    report = judged(account)
    assert report.is_good
    assert report.repeated["announced"] == 1


def test_what_never_came_is_lost(account: Account) -> None:
    """A record without its event, a version not pulled, an order without a result, a message left or set aside."""
    account.told.clear()
    account.pulled.clear()
    del account.results["K"]
    status = {"dead_letters": [{"id": "bc-pages/1", "reason": "died"}], "orders_waiting": 1, "orders_parked": 0}
    assert len(judged(account, status, poison=1).lost) == 6


def test_two_ids_or_two_orders_are_doubled(account: Account) -> None:
    """One change under two event ids, and one key with two orders, are doubles."""
    account.told["created", "a"]["event-2"] += 1
    account.results["K"].append(("created", "S-2"))
    assert len(judged(account).doubled) == 2


def test_what_did_not_happen_is_wrong(account: Account) -> None:
    """An event without its record, an order Business Central lacks, and a bad order that was created are wrong."""
    account.told["posted", "b"]["event-9"] += 1
    account.results["K"] = [("created", "S-9")]
    account.results["R"] = [("created", "S-5")]
    assert len(judged(account).wrong) == 3


def test_a_host_that_grows_is_not_good(account: Account) -> None:
    """Memory that rises within a life beyond the bound fails the soak; a short life says nothing."""
    report = judged(account)
    report.samples = [Sample(life=1, age_s=5.0 * age, mib=80.0 + 3 * age) for age in range(16)]
    assert not report.is_good
    report.samples = report.samples[:5]
    assert report.is_good
    assert report.growth_mib == {}
