"""The local stack: it comes up whole or not at all, tells faults in one line, and leaves nothing behind."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from local.stack.app_settings import clean_environment
from local.stack.ports import PortInUse, accepts
from local.stack.process import StartError
from local.stack.stack import CHILDREN, ROOT, Stack

pytestmark = pytest.mark.azurite
PATIENCE_S = 30.0


@pytest.fixture(autouse=True)
def embedded_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "embedded")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HOST", "embedded")
        with Stack(tmp_path_factory.mktemp("stack"), host_env={"BC_PAGE_ROWS": "77"}) as running:
            yield running


@pytest.fixture
def taken_port() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def pids_under(parent: int) -> list[int]:
    """Ids of the processes that a process started, itself not among them."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def await_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in pids if is_alive(pid)] == []


def get(stack: Stack, url: str, **options: Any) -> requests.Response:
    return requests.get(url, verify=str(stack.ca_file), timeout=10, **options)


def test_every_part_answers_at_its_address(stack: Stack) -> None:
    """The app with TLS and without, the login, the vault and Business Central are all there, trusted by the CA."""
    assert get(stack, f"{stack.public_url}/api/health").status_code == 200
    assert requests.get(f"{stack.app_url}/admin/host/ping", timeout=10).status_code == 200
    found = get(stack, f"{stack.login_url}/{stack.tenant}/v2.0/.well-known/openid-configuration").json()
    assert found["token_endpoint"].startswith(stack.login_url)
    assert get(stack, f"{stack.vault_url}/secrets/bc-client-secret?api-version=7.6").status_code == 401
    assert get(stack, f"{stack.bc_url}/v2.0/{stack.tenant}/production/api/v2.0/companies").status_code == 401


def test_the_vault_holds_the_apps_secrets_and_the_login_knows_the_same(stack: Stack) -> None:
    """The seeded client secret is the one the login takes, and Business Central takes the login's token."""
    sizes = get(stack, f"{stack.vault_url}/_emulator/secrets").json()
    assert sizes == {
        "bc-client-secret": len(stack.client_secret),
        "bc-reader-secret": len(stack.client_secret),
        "bc-webhook-secret": len(stack.webhook_secret),
    }
    token = requests.post(
        f"{stack.login_url}/{stack.tenant}/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials",
            "client_id": stack.client_id,
            "client_secret": stack.client_secret,
            "scope": "https://api.businesscentral.dynamics.com/.default",
        },
        verify=str(stack.ca_file),
        timeout=10,
    ).json()["access_token"]
    companies = get(
        stack,
        f"{stack.bc_url}/v2.0/{stack.tenant}/production/api/v2.0/companies",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert companies.status_code == 200
    assert companies.json()["value"]


def test_further_connections_have_an_environment_and_a_secret_each_and_tenants_do_not_mix(stack: Stack) -> None:
    """Asked for twice they are started once; a token of one tenant is refused by the environments of the other."""
    settings = stack.add_connections(3)
    assert stack.add_connections(3) == settings
    assert (settings["BC_CONNECTIONS"], settings["FABRIKAM__BC_TENANT_ID"]) == ("default,us,fabrikam", "fabrikam.com")
    secrets = get(stack, f"{stack.vault_url}/_emulator/secrets").json()
    home, _, further = stack.client_secrets
    answers = {}
    for place, url in stack.further_urls.items():
        assert secrets[f"bc-client-secret-{place.connection}"] == len(stack.client_secrets[place.client_id])
        for client_id, tenant in ((home, stack.tenant), (further, "fabrikam.com")):
            form = {
                "grant_type": "client_credentials", "client_id": client_id,
                "client_secret": stack.client_secrets[client_id],
                "scope": "https://api.businesscentral.dynamics.com/.default",
            }  # fmt: skip
            token = requests.post(
                f"{stack.login_url}/{tenant}/oauth2/v2.0/token", data=form, verify=str(stack.ca_file), timeout=10
            ).json()["access_token"]
            path = f"v2.0/{place.domain}/{place.environment}/api/v2.0/companies"
            answer = get(stack, f"{url}/{path}", headers={"Authorization": f"Bearer {token}"})
            answers[place.connection, tenant] = answer.status_code
    assert answers == {
        ("us", stack.tenant): 200, ("us", "fabrikam.com"): 401,
        ("fabrikam", stack.tenant): 401, ("fabrikam", "fabrikam.com"): 200,
    }  # fmt: skip


def test_a_stack_has_no_more_connections_than_places(tmp_path: Path) -> None:
    """Said before anything starts."""
    with pytest.raises(ValueError, match="1 to 3 connections, not 4"):
        Stack(tmp_path, connections=4)


def test_the_settings_point_to_the_stack_and_stay_private(stack: Stack) -> None:
    """The file holds secrets, so only its owner reads it; what the caller sets wins over the defaults."""
    assert stat.S_IMODE(stack.settings_file.stat().st_mode) == 0o600
    values = json.loads(stack.settings_file.read_text())["Values"]
    assert (values["PUBLIC_URL"], values["KEY_VAULT_URL"]) == (stack.public_url, stack.vault_url)
    assert values["BC_PAGE_ROWS"] == "77"


def test_a_killed_host_is_an_outage_and_comes_back_at_the_same_address(stack: Stack) -> None:
    """While the host is down callers get 503, which Business Central repeats; a new host serves the same URLs."""
    stack.kill_host()
    assert get(stack, f"{stack.public_url}/api/health").status_code == 503
    stack.start_host({"BC_PAGE_ROWS": "78"})
    assert get(stack, f"{stack.public_url}/api/health").status_code == 200
    assert json.loads(stack.settings_file.read_text())["Values"]["BC_PAGE_ROWS"] == "78"
    with pytest.raises(StartError, match="runs already"):
        stack.start_host()


def test_a_second_stack_in_the_same_folder_is_refused(stack: Stack) -> None:
    """Two stacks would write the same files; the first goes on unharmed."""
    with pytest.raises(StartError, match="another one runs"), Stack(stack.work_dir):
        pass
    assert get(stack, f"{stack.public_url}/api/health").status_code == 200
    stack.check()


def test_no_secret_is_in_a_process_list_or_log(stack: Stack) -> None:
    """Command lines and logs of all children are free of the stack's secrets."""
    seen = "".join(
        Path(f"/proc/{pid}/cmdline").read_text() for pid in pids_under(os.getpid()) if is_alive(pid)
    ) + "".join(stack.logs(name) for name in CHILDREN)
    for secret in (*stack.client_secrets.values(), stack.webhook_secret, stack.identity_header):
        assert secret not in seen


def test_a_taken_port_is_named_and_nothing_is_left(tmp_path: Path, taken_port: int) -> None:
    """A port asked for by number that is in use is told with its name before anything else starts."""
    before = pids_under(os.getpid())
    with pytest.raises(PortInUse, match=f"public: port {taken_port}"), Stack(tmp_path, ports={"public": taken_port}):
        pass
    assert set(pids_under(os.getpid())) <= set(before)


def test_a_host_that_cannot_start_takes_everything_down(tmp_path: Path) -> None:
    """An app folder without host.json: one line with the host's own words, and no process left."""
    before = pids_under(os.getpid())
    empty = tmp_path / "app"
    empty.mkdir()
    with pytest.raises(StartError) as failed, Stack(tmp_path / "work", app_dir=empty):
        pass
    assert "host.json" in str(failed.value)
    assert str(failed.value).startswith("host (embedded")
    assert "\n" not in str(failed.value)
    assert set(pids_under(os.getpid())) <= set(before)


@pytest.mark.parametrize(("kind", "reason"), [("func", "not on PATH"), ("docker", "func or embedded")])
def test_an_impossible_host_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, reason: str
) -> None:
    """HOST=func without Core Tools and an unknown HOST are plain messages."""
    monkeypatch.setenv("HOST", kind)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StartError, match=reason), Stack(tmp_path):
        pass
    assert not (tmp_path / "logs").exists()


def test_unknown_port_names_are_refused(tmp_path: Path) -> None:
    """A misspelt port name is an error and not a free port."""
    with pytest.raises(ValueError, match="unknown ports: hots"):
        Stack(tmp_path, ports={"hots": 7071})


def test_children_do_not_inherit_what_leads_elsewhere() -> None:
    """Settings, identities, proxies and CAs of the developer's machine stay out of the stack."""
    env = {
        "PATH": "/bin",
        "HOME": "/home/dev",
        "BC_CLIENT_ID": "real",
        "KEY_VAULT_URL": "https://real.vault.azure.net",
        "AZURE_CLIENT_SECRET": "real",
        "AzureWebJobsStorage": "real",
        "IDENTITY_ENDPOINT": "http://169.254.169.254",
        "REQUESTS_CA_BUNDLE": "/etc/ca.pem",
        "HTTPS_PROXY": "http://proxy",
    }
    assert clean_environment(env) == {
        "PATH": "/bin",
        "HOME": "/home/dev",
        "NO_PROXY": "localhost,127.0.0.1",
        "PYTHONUNBUFFERED": "1",
    }


# -- the command line ------------------------------------------------------------------------------------------------


def start_command(work_dir: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "local", "up", "--work-dir", str(work_dir), "--timers", "off", "--free-ports", *options],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def await_line(process: subprocess.Popen[str], wanted: str) -> None:
    assert process.stdout
    for line in process.stdout:
        if wanted in line:
            return
    pytest.fail(f"ended with code {process.wait()} before it printed '{wanted}'")


def said_by(process: subprocess.Popen[str]) -> str:
    """The rest of what the command prints, up to its end."""
    assert process.stdout
    return process.stdout.read()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_no_orphans_whatever_ends_the_command(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Ctrl-C, a termination and even a kill of the command end all its children; the first two say so."""
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux tells children of their parent's death")
    with start_command(tmp_path) as process:
        await_line(process, "Ctrl-C stops everything")
        children = pids_under(process.pid)
        assert len(children) == 6
        process.send_signal(number)
        rest = said_by(process)
        assert process.wait(PATIENCE_S) == code
    await_gone(children)
    assert ("stopped" in rest) == (number != signal.SIGKILL)
    assert "Traceback" not in rest


def test_an_interrupt_while_starting_stops_what_has_started(tmp_path: Path) -> None:
    """Ctrl-C in the first seconds is as clean as later."""
    with start_command(tmp_path) as process:
        await_line(process, "login")
        children = pids_under(process.pid)
        process.send_signal(signal.SIGINT)
        rest = said_by(process)
        assert process.wait(PATIENCE_S) == 0
    assert children
    await_gone(children)
    assert "Traceback" not in rest


def test_a_child_that_dies_later_ends_the_command_with_its_name(tmp_path: Path) -> None:
    """When a part ends by itself the command says which and with what, and stops the rest."""
    with start_command(tmp_path) as process:
        await_line(process, "Ctrl-C stops everything")
        children = pids_under(process.pid)
        victim = next(
            pid for pid in children if "local.emulators.key_vault" in Path(f"/proc/{pid}/cmdline").read_text()
        )
        os.kill(victim, signal.SIGKILL)
        rest = said_by(process)
        assert process.wait(PATIENCE_S) == 1
    assert "error: key_vault: ended with code -9" in rest
    await_gone(children)


def test_a_port_in_use_is_one_line_on_the_command_line(tmp_path: Path, taken_port: int) -> None:
    """No traceback: the name of the part, the port, and what to do."""
    with start_command(tmp_path, "--host-port", str(taken_port)) as process:
        said = said_by(process)
        assert process.wait(PATIENCE_S) == 1
    assert said.strip() == (
        f"error: host: port {taken_port} on 127.0.0.1 is in use; stop what uses it or choose another port "
        "(--<name>-port N takes that one, 0 a free one; --free-ports takes free ones for all)"
    )
    assert accepts(taken_port)
