"""The check of parameter files: what Azure would refuse is named before anything is asked."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from shared.ncrontab import ncrontab_fault
from tests.support.loaded_modules import script

ROOT = Path(__file__).resolve().parents[2]


CLIENT = "11111111-2222-3333-4444-555555555555"
check_params = script("check_params")
TODAY = date(2026, 11, 23)
BUDGET: dict[str, object] = {"budgetAmount": 100, "alertEmails": ["a@b.example"]}


def faults(parameters: dict[str, object], *, registers: bool = False, budget_since: str = "") -> dict[str, str]:
    """Return what check_params finds wrong on one day."""
    found: dict[str, str] = check_params.faults(parameters, today=TODAY, registers=registers, budget_since=budget_since)
    return found


def test_good_parameters_pass() -> None:
    """A client id is all that is needed, and not even that when the application is registered first."""
    assert faults({"bcClientId": CLIENT}) == {}
    assert faults({"bcClientId": "", "bcTenantId": "", "bcLoginUrl": ""}, registers=True) == {}


def test_a_client_id_beside_the_registration_is_fine() -> None:
    """`azd up` comes again with the client id that its first run stored."""
    assert faults({"bcClientId": CLIENT}, registers=True) == {}


def test_good_values_of_every_kind_pass() -> None:
    """What Azure takes is not refused."""
    assert (
        faults(
            {
                "bcClientId": CLIENT,
                "environmentName": "prod-eu1",
                "resourceGroupName": "rg_business.central-(eu)",
                "operatorPrincipalId": CLIENT,
                "vnetAddressPrefix": "10.40.0.0/26",
                "allowedAddresses": ["203.0.113.0/24", "203.0.113.7/32", "2001:db8::/48"],
                "nameOverrides": {"storageAccount": "stcontoso1", "vault": "kv-a", "tokenVault": "kv-b", "plan": None},
                "tags": {"owner": "team"},
                "storageSku": "Standard_GZRS",
                "zoneRedundant": True,
                "healthTestLocation": "us-va-ash-azr",
                "runbookUrl": "https://wiki.example/runbook",
                "bcEventsTo": "https://contoso.servicebus.windows.net/bc-events",
                "eventsReceiverId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.EventGrid/topics/orders",
                "budgetStartDate": "2026-11-01",
            }
            | BUDGET
        )
        == {}
    )


@pytest.mark.parametrize(
    ("wrong", "value"),
    [
        ("bcAuthMode", "password"),
        ("bcItemPullSchedule", "every 15 minutes"),
        ("bcReconcileSchedule", "*/15 * * * *"),
        ("bcSubscriptionSchedule", "0 99 * * * *"),
        ("bcCompanies", ""),
        ("bcCompanies", " , "),
        ("bcClientId", "my-app"),
        ("bcClientId", ""),
        ("bcTenantId", "not a tenant"),
        ("bcTriggers", "items,customers"),
        ("bcTriggers", ""),
        ("bcEntities", "customers"),
        ("bcEntities", '[{"entitySet": "customers", "pul": true}]'),
        ("bcChanges", "renamed"),
        ("bcPageRows", 20001),
        ("bcEnvironment", "sand box"),
        ("publicUrl", "http://plain.example"),
        ("bcApiUrl", "https://api.example/v2.0"),
        ("alertEmails", ["nobody"]),
        ("budgetAmount", 100),
        ("environmentName", "prod_eu"),
        ("environmentName", "Prod"),
        ("environmentName", "prod-"),
        ("environmentName", "1prod"),
        ("environmentName", "p"),
        ("resourceGroupName", "rg."),
        ("resourceGroupName", "rg prod"),
        ("operatorPrincipalId", "integration-team"),
        ("operatorPrincipalId", "11111111-2222-3333-4444-55555555555"),
        ("vnetAddressPrefix", "10.40.0.0/27"),
        ("vnetAddressPrefix", "10.40.0.1/24"),
        ("vnetAddressPrefix", "10.40.0.0"),
        ("vnetAddressPrefix", "fd00::/24"),
        ("allowedAddresses", ["office"]),
        ("allowedAddresses", ["203.0.113.7"]),
        ("allowedAddresses", ["203.0.113.256/32"]),
        ("allowedAddresses", ["203.0.113.7/24"]),
        ("nameOverrides", {"storageAccount": "St-Contoso"}),
        ("nameOverrides", {"vault": "kv--x"}),
        ("nameOverrides", {"vault": "kv-same", "tokenVault": "kv-same"}),
        ("nameOverrides", {"keyVault": "kv-x"}),
        ("tags", {"costCenter": 4711}),
        ("zoneRedundant", True),
        ("healthTestLocation", "West Europe"),
        ("runbookUrl", "wiki"),
        ("bcEventsTo", "sb://contoso.servicebus.windows.net/bc-events"),
        ("eventsReceiverId", "bc-events"),
        ("eventsReceiverId", "/subscriptions/s/resourceGroups/g/providers/Microsoft.ServiceBus/namespaces/n"),
    ],
)
def test_wrong_parameter_is_named(wrong: str, value: object) -> None:
    """A wrong value is refused under the name of its parameter."""
    assert wrong in faults({"bcClientId": CLIENT, wrong: value})


def test_every_wrong_parameter_is_named_at_once() -> None:
    """One run of the check tells everything that must be corrected."""
    wrong: dict[str, object] = {
        "bcAuthMode": "x",
        "bcCompanies": "",
        "bcItemPullSchedule": "x",
        "alertEmails": ["a@b.example"],
    }
    wrong |= {"budgetAmount": 5, "budgetStartDate": "2026-12-24"}
    found = faults(wrong)
    assert set(found) == {"bcAuthMode", "bcCompanies", "bcItemPullSchedule", "bcClientId", "budgetStartDate"}


@pytest.mark.parametrize(
    ("start", "since", "rule"),
    [
        ("2026-11-01", "", None),
        ("2027-11-01", "", None),
        ("2026-10-01", "", "is past"),
        ("2025-12-01", "", "is past"),
        ("2027-12-01", "", "twelve months"),
        ("2026-12-24", "", "first day"),
        ("2026-13-01", "", "first day"),
        ("", "", "first day"),
        ("2026-02-01", "2026-02-01", None),
        ("2026-11-01", "2026-02-01", "must stay 2026-02-01"),
    ],
)
def test_a_new_budget_begins_now_or_later_and_an_old_one_keeps_its_month(
    start: str, since: str, rule: str | None
) -> None:
    """Azure refuses a budget that begins in the past, and another start for one that is there."""
    found = faults({"bcClientId": CLIENT, "budgetStartDate": start} | BUDGET, budget_since=since)
    assert set(found) == ({"budgetStartDate"} if rule else set())
    assert rule is None or rule in found["budgetStartDate"]


@pytest.mark.parametrize(
    "schedule",
    [
        "0 */15 * * * *",
        "0 7-59/15 * * * *",
        "0 0 6,18 * * MON-FRI",
        "30 0 0 1 jan *",
        "0 0 0 1,15 * 1-5",
        "0 5/10 * * * *",
    ],
)
def test_schedules_of_the_host_pass(schedule: str) -> None:
    """What NCRONTAB allows is not refused."""
    assert ncrontab_fault(schedule) is None


@pytest.mark.parametrize(
    "schedule",
    ["", "* * * * *", "0 60 * * * *", "0 0 24 * * *", "0 0 0 0 * *", "0 0 0 * 13 *", "0 0 0 * * 7", "0 9-3 * * * *",
     "0 */0 * * * *", "0 * * * * ? *", "0 a * * * *", "0 1- * * * *", "0 ,1 * * * *", "0 */15 * * FEB-MAR XYZ"],
)  # fmt: skip
def test_schedules_that_the_host_refuses_do_not_pass(schedule: str) -> None:
    """A schedule that would leave the app without functions is refused before anything is created."""
    assert ncrontab_fault(schedule)


def test_the_check_needs_python_and_nothing_else() -> None:
    """The job that deploys, and azd's hook on a fresh machine, have no package installed."""
    document = json.dumps({"parameters": {"bcClientId": {"value": CLIENT}}})
    done = subprocess.run(
        [sys.executable, "-S", str(ROOT / "scripts" / "check_params.py"), "--print"],
        input=document, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(document)


def test_compiler_output_and_plain_parameter_files_are_read() -> None:
    """Both forms in which parameters come give the same values."""
    plain: dict[str, object] = {"parameters": {"bcPageRows": {"value": 5}}}
    compiled = {"parametersJson": json.dumps(plain), "templateJson": "{}"}
    assert check_params.parameters_of(json.dumps(plain)) == {"bcPageRows": 5}
    assert check_params.parameters_of(json.dumps(compiled)) == {"bcPageRows": 5}
    with pytest.raises(ValueError, match="no parameters"):
        check_params.parameters_of("[]")
