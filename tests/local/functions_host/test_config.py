"""host.json and settings: values, ranges, overrides, lookups."""

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from local.functions_host.config import HostConfig, read_config
from local.functions_host.errors import HostError
from local.functions_host.host import time_zone
from local.functions_host.settings import LocalSettings, fill_settings, is_disabled, new_variables, read_settings
from local.functions_host.storage import Storage
from local.functions_host.timespans import parse_timespan


def config(tmp_path: Path, content: dict[str, Any], env: Mapping[str, str] | None = None) -> HostConfig:
    file = tmp_path / "host.json"
    file.write_text(json.dumps({"version": "2.0", **content}))
    return read_config(file, env or {})


def test_defaults(tmp_path: Path) -> None:
    """Without members the host's defaults hold, with the Development environment's polling cap of 2 s."""
    found = config(tmp_path, {"logging": {"anything": 1}})
    assert (found.http.route_prefix, found.function_timeout_s, found.only_functions) == ("api", 1800.0, None)
    queues = found.queues
    assert (queues.batch_size, queues.max_dequeue_count, queues.visibility_timeout_s) == (16, 5, 0)
    assert (queues.max_polling_interval_s, queues.message_encoding) == (2, "base64")
    assert queues.new_batch_threshold % 8 == 0  # half a batch per processor


def test_values_and_overrides(tmp_path: Path) -> None:
    """Members are read, and a variable overrides its member whatever the case of either."""
    queues = {"BatchSize": 4, "visibilityTimeout": "00:01:30", "messageEncoding": "none", "newBatchThreshold": 0}
    content = {"extensions": {"queues": queues, "http": {"routePrefix": "/v1/"}}, "functionTimeout": "-1"}
    env = {
        "AzureFunctionsJobHost__extensions__queues__batchsize": "8",
        "AzureFunctionsJobHost:extensions:queues:maxPollingInterval": "00:00:00.5",
        "azurefunctionsjobhost__functionTimeout": "00:02:00",
    }
    found = config(tmp_path, content, env)
    assert found.queues.batch_size == 8
    assert found.queues.new_batch_threshold == 0
    assert found.queues.visibility_timeout_s == 90
    assert found.queues.max_polling_interval_s == 0.5
    assert found.queues.message_encoding == "none"
    assert (found.http.route_prefix, found.function_timeout_s) == ("v1", 120)
    assert config(tmp_path, content).function_timeout_s is None


@pytest.mark.parametrize(
    ("member", "value"),
    [("batchSize", 0), ("batchSize", True), ("batchSize", "many"), ("maxDequeueCount", 0), ("newBatchThreshold", -1),
     ("visibilityTimeout", 30), ("maxPollingInterval", "1 s"), ("messageEncoding", "utf8")],
)  # fmt: skip
def test_values_out_of_range(tmp_path: Path, member: str, value: object) -> None:
    """A wrong value is named with its path, never replaced by a default."""
    with pytest.raises(HostError, match=f"host.json: extensions.queues.{member} must be "):
        config(tmp_path, {"extensions": {"queues": {member: value}}})


def test_timespans() -> None:
    """TimeSpan strings are read with days and fractions; anything else is refused."""
    assert parse_timespan("1.02:03:04.5") == timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=500)
    assert parse_timespan("00:05") == timedelta(minutes=5)
    for wrong in ("24:00:00", "00:60:00", "5", "", "-00:00:01"):
        with pytest.raises(ValueError):
            parse_timespan(wrong)


def test_settings_file(tmp_path: Path) -> None:
    """Values, connection strings and the port are read; the environment keeps what it has."""
    file = tmp_path / "local.settings.json"
    content = {"IsEncrypted": False, "Values": {"A": "1", "B": "2"}, "ConnectionStrings": {"C": "x"}}
    file.write_text(json.dumps({**content, "Host": {"LocalHttpPort": 7100}}), encoding="utf-8-sig")
    settings = read_settings(file, required=True)
    assert settings.port == 7100
    assert new_variables(settings, {"A": "0", "B": "2"}) == ({"ConnectionStrings:C": "x"}, ["A"])
    assert read_settings(tmp_path / "none.json", required=False) == LocalSettings({}, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "JSON object"),
        ("{}", "IsEncrypted"),
        ('{"IsEncrypted": true}', "IsEncrypted"),
        ('{"IsEncrypted": false, "Values": {"A": true}}', "strings only, not so: A"),
        ('{"IsEncrypted": false, "Values": []}', None),
        ('{"IsEncrypted": false, "Host": {"LocalHttpPort": "7071"}}', "port number"),
    ],
)
def test_wrong_settings_files(tmp_path: Path, text: str, message: str | None) -> None:
    """What Core Tools would not take, or would take for something else, is refused; an empty Values is not."""
    file = tmp_path / "local.settings.json"
    file.write_text(text)
    if message is None:
        assert read_settings(file, required=True).values == {}
        return
    with pytest.raises(HostError, match=message):
        read_settings(file, required=True)


def test_percent_names() -> None:
    """%NAME% takes a setting whatever its case; a missing or unclosed one is an error."""
    assert fill_settings("a-%q%-%Q%", {"Q": "x"}) == "a-x-x"
    for wrong in ("%NONE%", "50%", "%EMPTY%"):
        with pytest.raises(HostError, match=r"NONE|EMPTY|%"):
            fill_settings(wrong, {"EMPTY": ""})


def test_disabled_functions() -> None:
    """Both spellings switch a function off; other values do not."""
    assert is_disabled({"AzureWebJobs.f.Disabled": "1"}, "f")
    assert is_disabled({"AzureWebJobs_f_Disabled": "True"}, "f")
    assert not is_disabled({"AzureWebJobs.f.Disabled": "0", "AzureWebJobs.g.Disabled": "1"}, "f")


def queue_url(env: Mapping[str, str], connection: str) -> str:
    async def look() -> str:
        storage = Storage(env)
        try:
            return storage.queue(connection, "Jobs").key
        finally:
            await storage.close()

    return asyncio.run(look())


@pytest.mark.parametrize(
    ("env", "connection", "url"),
    [
        ({"AzureWebJobsStorage": "UseDevelopmentStorage=true"}, "", "http://127.0.0.1:10001/devstoreaccount1/jobs"),
        ({"X": "AccountName=two;AccountKey=QQ==", "AzureWebJobsX": "AccountName=one;AccountKey=QQ=="}, "X", "https://one.queue.core.windows.net/jobs"),
        ({"ConnectionStrings:X": "AccountName=three;AccountKey=QQ==", "X": "AccountName=two;AccountKey=QQ=="}, "X", "https://three.queue.core.windows.net/jobs"),
        ({"X__queueServiceUri": "https://q.example"}, "X", "https://q.example/jobs"),
        ({"X__accountName": "four", "X__credential": "managedidentity"}, "X", "https://four.queue.core.windows.net/jobs"),
    ],
)  # fmt: skip
def test_connections(env: dict[str, str], connection: str, url: str) -> None:
    """A connection is found under its prefix first, as connection string or in its identity form."""
    assert queue_url(env, connection) == url


def test_wrong_connections() -> None:
    """A connection that is missing or no connection string is named; its value, which may hold a key, is not shown."""
    with pytest.raises(HostError, match="'AzureWebJobsStorage' is not set"):
        queue_url({}, "")
    with pytest.raises(HostError) as caught:
        queue_url({"X": "hunter2"}, "X")
    assert "hunter2" not in str(caught.value)


def test_time_zone() -> None:
    """Schedules follow the named zone; an unknown one is an error."""
    assert str(time_zone({"WEBSITE_TIME_ZONE": "Europe/Berlin", "TZ": "UTC"})) == "Europe/Berlin"
    assert time_zone({}) is not None
    with pytest.raises(HostError, match="Nowhere/Land"):
        time_zone({"TZ": "Nowhere/Land"})
