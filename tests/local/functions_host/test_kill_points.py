"""The test-only seams: a host that dies at a chosen moment leaves exactly what that moment implies."""

import base64

import pytest

from local.functions_host.errors import HostError
from local.functions_host.faults import KILL_EXIT_CODE, Faults
from tests.local.functions_host.conftest import StartHost
from tests.local.functions_host.harness import Account, eventually

OUTPUTS = ("step-one", "steps", "step-three")


def left_behind(account: Account) -> tuple[int, int, int]:
    """Return how often each of the three outputs was written, in binding order."""
    return len(account.texts("step-one")), len(account.blobs("steps")), len(account.texts("step-three"))


@pytest.mark.azurite
@pytest.mark.parametrize(
    ("point", "written", "after_restart"),
    [
        ("before-call", (0, 0, 0), (1, 1, 1)),
        ("after-call", (0, 0, 0), (1, 1, 1)),
        ("between-outputs", (1, 0, 0), (2, 1, 1)),
        ("between-outputs:2", (1, 1, 0), (2, 1, 1)),
        ("after-outputs", (1, 1, 1), (2, 1, 2)),
    ],
)
def test_killed_host_leaves_the_message(
    start_host: StartHost,
    azurite: Account,
    point: str,
    written: tuple[int, int, int],
    after_restart: tuple[int, int, int],
) -> None:
    """Whatever was written stays, the message stays too, and the next host runs it again."""
    azurite.clear()
    env = {"AzureWebJobsStorage": azurite.connection_string, "ECHO_QUEUE": "echo-in", "LOCAL_HOST_LEASE_S": "1"}
    azurite.send("steps", base64.b64encode(b"go").decode())
    host = start_host("queues", env={**env, "LOCAL_HOST_KILL_AT": f"steps:{point}"}, ready=False)
    assert host.wait_exit() == KILL_EXIT_CODE
    assert left_behind(azurite) == written
    assert azurite.count("steps") == 1
    start_host("queues", env=env)
    eventually(lambda: azurite.count("steps") == 0, what="the second run")
    assert left_behind(azurite) == after_restart


@pytest.mark.azurite
def test_reversed_outputs(start_host: StartHost, azurite: Account) -> None:
    """The other order of outputs can be had, for apps that must not rely on one."""
    azurite.clear()
    env = {"AzureWebJobsStorage": azurite.connection_string, "ECHO_QUEUE": "echo-in"}
    faults = {"LOCAL_HOST_KILL_AT": "steps:between-outputs", "LOCAL_HOST_OUTPUT_ORDER": "reverse"}
    azurite.send("steps", base64.b64encode(b"go").decode())
    assert start_host("queues", env={**env, **faults}, ready=False).wait_exit() == KILL_EXIT_CODE
    assert left_behind(azurite) == (0, 0, 1)


@pytest.mark.parametrize(
    "variables",
    [
        {"LOCAL_HOST_KILL_AT": "steps"},
        {"LOCAL_HOST_KILL_AT": "steps:sometime"},
        {"LOCAL_HOST_KILL_AT": "steps:after-call:0"},
        {"LOCAL_HOST_KILL_AT": ":after-call"},
        {"LOCAL_HOST_OUTPUT_ORDER": "random"},
        {"LOCAL_HOST_LEASE_S": "soon"},
    ],
)
def test_a_wrong_seam_is_an_error(variables: dict[str, str]) -> None:
    """A mistyped fault must not make a test pass by doing nothing."""
    with pytest.raises(HostError, match=next(iter(variables))):
        Faults.from_env(variables)


def test_no_seam_by_default() -> None:
    """Without the variables no point is deadly."""
    faults = Faults.from_env({})
    faults.reach("steps", "after-call")
    assert faults == Faults(output_order="together")
