"""Every queue message that was recorded on Microsoft's host, sent to this one: it must do the same with it."""

import base64
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import ResourceExistsError

from local.functions_host.message_values import trigger_value
from tests.local.functions_host.conftest import StartHost
from tests.local.functions_host.harness import Account, HostProcess, eventually
from tests.local.functions_host.recorded import Case, Tally, cases, decoded, needs_recordings

pytestmark = needs_recordings

#: The recorded forms of a function, and the queue of the probe app's function of that form.
FORMS = {
    "QueueMessage": "msg",
    "QueueMessage, data_type BINARY": "bin",
    "generic_trigger, QueueMessage": "gen",
    "generic_trigger BINARY, QueueMessage": "genb",
    "str": "str",
    "bytes": "bytes",
    "generic_trigger BINARY, bytes": "genbs",
}
#: Cases that are not followed, by (encoding, case), and why.
LISTED = {
    ("none", "list-30k-umlaut"): "the recorded run met an Azurite fault: a character cut by a TCP chunk became two",
}
_QUEUES = (
    *(f"q-{name}" for name in FORMS.values()),
    *(f"q-{name}" for name in ("blob", "dq", "guid", "sys", "dot", "ins", "trig", "binid", "binjob", "bintrig")),
    *(f"q-{name}" for name in ("ostr", "olist", "obytes", "omsg", "two", "out", "out2")),
)
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def stored_text(case: Case) -> str:
    """Return the text of a case as it stands in the queue."""
    if case["case"] == "deep-20000":
        body = '{"job":"deep","d":' + "[" * 20000 + "]" * 20000 + "}"
    elif case.get("generate") == "objects 1000":
        body = '{"a":' * 1000 + "1" + "}" * 1000
    elif case["section"] == "A":
        return decoded(case["body_base64"] or "").decode()
    else:
        body = decoded(case["body_base64"]).decode()
    return base64.b64encode(body.encode()).decode() if case["encoding"] == "base64" else body


def shortened(text: str) -> str:
    """Return a text as the recording keeps it: long ones are cut."""
    return text if len(text) <= 400 else f"{text[:40]}...({len(text)})"


# -- section A: which bytes reach which form


@pytest.mark.parametrize("encoding", ["base64", "none"])
def test_metadata_of_every_message_is_the_same(encoding: str) -> None:
    """What the members of a message do to the trigger's metadata, case by case."""
    recorded = [case for case in cases("queue-cases") if case["section"] == "A" and case["encoding"] == encoding]
    tally = Tally(f"queue-cases A, metadata, {encoding}")
    for case in recorded:
        text = stored_text(case)
        trigger = {"name": "m", "dataType": "BINARY" if "BINARY" in case["function form"][0] else None}
        wanted = case["real"].get("metadata", {})
        try:
            body = base64.b64decode("".join(text.split()), validate=True) if encoding == "base64" else text.encode()
            found = own_members(trigger_value(trigger, body, MESSAGE).metadata)
        except ValueError:
            found = {}
        if wanted == {"a": "..."}:  # the recording left a deep value out
            wanted = found
        tally.add(
            f"{case['case']} {case['function form'][0]}", "" if found == wanted else f"{found}, recorded {wanted}", None
        )
    tally.check(len(recorded))


MESSAGE: Any = SimpleNamespace(
    id="id", pop_receipt="receipt", dequeue_count=1, inserted_on=None, expires_on=None, next_visible_on=None
)


def own_members(metadata: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the metadata that a message's members made, in the recording's form."""
    plain = trigger_value({"name": "m"}, b"", MESSAGE).metadata
    return {
        name: {value.kind: value.data}
        for name, value in metadata.items()
        if name != "QueueTrigger" and plain.get(name) != value
    }


class Probe:
    """The probe app on a host, and a storage account to see what it does."""

    def __init__(self, host: HostProcess, account: Account, log: Path) -> None:
        self.host = host
        self.account = account
        self.log = log
        self._read = 0

    def notes(self) -> list[dict[str, Any]]:
        """Return what functions noted since the last call."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        fresh, self._read = lines[self._read :], len(lines)
        return [json.loads(line) for line in fresh]

    def send(self, queue: str, text: str) -> Any:
        return self.account.queue(queue).send_message(text)

    def wait_empty(self, queues: Sequence[str], within_s: float = 60.0) -> None:
        for queue in queues:
            eventually(partial(self._is_empty, queue), within_s=within_s, what=f"{queue} empty")

    def _is_empty(self, queue: str) -> bool:
        return self.account.count(queue) == 0

    def take(self, queue: str) -> list[Any]:
        """Take every message of a queue out of it, in order; none if it is missing."""
        taken: list[Any] = []
        client = self.account.queue(queue)
        while self.account.texts(queue):
            taken.extend(client.receive_messages(max_messages=500, messages_per_page=32))
            client.clear_messages()
        return taken


@pytest.fixture
def probe(start_host: StartHost, azurite: Account, tmp_path: Path) -> Callable[[str], Probe]:
    """Starts the probe app with an encoding."""

    def start(encoding: str) -> Probe:
        azurite.clear()
        for name in _QUEUES:
            for queue in (name, f"{name}-poison"):
                try:
                    azurite.queue(queue).create_queue()
                except ResourceExistsError:
                    continue
        log = tmp_path / "probe.log"
        log.touch()
        env = {
            "AzureWebJobsStorage": azurite.connection_string,
            "PROBE_LOG": str(log),
            "TZ": "UTC",
            "AzureFunctionsJobHost__extensions__queues__messageEncoding": encoding,
        }
        return Probe(start_host("probe_queue", env=env), azurite, log)

    return start


@pytest.mark.azurite
@pytest.mark.parametrize("encoding", ["base64", "none"])
def test_every_form_gets_the_same_bytes(probe: Callable[[str], Probe], encoding: str) -> None:
    """Which bytes reach which form of a function, what it is told of the message, and what is poisoned."""
    running = probe(encoding)
    recorded = [case for case in cases("queue-cases") if case["section"] == "A" and case["encoding"] == encoding]
    tally = Tally(f"queue-cases A, messages, {encoding}")
    for batch in batches(recorded):
        sent: dict[tuple[str, str], Any] = {}
        for case in batch:
            for form in case["function form"]:
                sent[FORMS[form], case["case"]] = running.send(f"q-{FORMS[form]}", stored_text(case))
        running.wait_empty([f"q-{name}" for name in FORMS.values()])
        notes: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for note in running.notes():
            notes[note["fn"], note["body"]].append(note)
        poisoned = {name: [str(m.content) for m in running.take(f"q-{name}-poison")] for name in FORMS.values()}
        for case in batch:
            problems = []
            for form in case["function form"]:
                name = FORMS[form]
                problem = difference(case, name, sent[name, case["case"]], notes, poisoned[name])
                if problem:
                    problems.append(f"{form}: {problem}")
            tally.add(f"{case['case']} {case['function form'][0]}", "; ".join(problems), None)
    tally.check(len(recorded))


def batches(recorded: Sequence[Case]) -> list[list[Case]]:
    """Group cases so that within a group a body says which case it belongs to."""
    groups: list[tuple[list[Case], dict[bytes, str]]] = []
    for case in recorded:
        body = body_of(case)
        fitting = (entry for entry in groups if entry[1].get(body, case["case"]) == case["case"])
        entry = next(fitting, None)
        if entry is None:
            entry = ([], {})
            groups.append(entry)
        entry[0].append(case)
        entry[1][body] = case["case"]
    return [group for group, _ in groups]


def body_of(case: Case) -> bytes:
    text = stored_text(case)
    try:
        return base64.b64decode("".join(text.split()), validate=True) if case["encoding"] == "base64" else text.encode()
    except ValueError:
        return text.encode()


def difference(
    case: Case, name: str, sent: Any, notes: Mapping[tuple[str, str], list[dict[str, Any]]], poisoned: list[str]
) -> str:
    """Return how a form was served otherwise than recorded, empty when it was not."""
    real = case["real"]
    text = stored_text(case)
    runs = notes.get((name, base64.b64encode(body_of(case)).decode()), [])
    found: dict[str, Any] = {"ran": len(runs)}
    if text in poisoned:
        found["poison"] = [text]
    for note in runs[:1]:
        found["kind"], found["body"] = note["kind"], note["body"]
        if note["kind"] == "QueueMessage":
            found.update({key: note[key] for key, usual in usual_members(sent).items() if note[key] != usual})
            found.pop("nxt", None)
    wanted = {key: value for key, value in real.items() if key != "metadata"}
    if str(wanted.get("body", "")).endswith(" characters"):
        wanted["body"] = base64.b64encode(body_of(case)).decode()
        wanted["body"] = wanted["body"] if real["body"] == f"{len(wanted['body'])} characters" else real["body"]
    return "" if found == wanted else f"{found}, recorded {wanted}"


def usual_members(sent: Any) -> dict[str, Any]:
    """Return what a function is told of a message whose members say nothing else."""
    at = {"exp": sent.expires_on, "ins": sent.inserted_on}
    return {"id": sent.id, "dq": 1, **{key: f"{moment:%Y-%m-%d %H:%M:%S}+00:00" for key, moment in at.items()}}


# -- sections B and C: binding expressions, outputs


@pytest.mark.azurite
@pytest.mark.parametrize("encoding", ["base64", "none"])
def test_every_output_is_written_the_same(probe: Callable[[str], Probe], encoding: str) -> None:
    """What is written, how often the function ran, and what is poisoned: queue texts byte for byte, blobs, metadata."""
    running = probe(encoding)
    recorded = [case for case in cases("queue-cases") if case["section"] in "BC" and case["encoding"] == encoding]
    tally = Tally(f"queue-cases B and C, {encoding}")
    for case in recorded:
        name = case["function form"].removeprefix("f_")
        sent = running.send(f"q-{name}", stored_text(case))
        running.wait_empty([f"q-{name}"])
        found = left_behind(running, name, sent.id)
        wanted = {key: value for key, value in case["real"].items() if key != "metadata"}
        problem = "" if found == wanted else f"{found}, recorded {wanted}"
        tally.add(case["case"], problem, LISTED.get((encoding, case["case"])))
    tally.check(len(recorded))


def left_behind(running: Probe, name: str, message_id: str) -> dict[str, Any]:
    """Return what a case left, in the recording's form, and clear it away."""
    notes = running.notes()
    found: dict[str, Any] = {"ran": len(notes)}
    lives: set[int] = set()
    for key, queue in (("queue", "q-out"), ("queue2", "q-out2")):
        messages = running.take(queue)
        lives |= {round((m.expires_on - m.inserted_on).total_seconds()) for m in messages}
        if messages:
            found[key] = told([str(m.content) for m in messages], message_id)
    if lives:
        found["ttl_s"] = sorted(lives)
    poison = [shortened(str(m.content)) for m in running.take(f"q-{name}-poison")]
    if poison:
        found["poison"] = poison
    blobs = blobs_of(running.account, message_id)
    if blobs:
        found["blobs"] = blobs
    return found


def told(texts: list[str], message_id: str) -> list[str]:
    """Return queue texts as the recording keeps them."""
    if len(texts) > 100:
        decode = (lambda text: base64.b64decode(text).decode()) if texts[0] == "bjA=" else (lambda text: text)
        in_order = [decode(text) for text in texts] == [f"n{number}" for number in range(len(texts))]
        return [*texts[:3], f"... {len(texts)} in all", "in order" if in_order else "in another order"]
    own = f"from {message_id}"
    replaced = {own: f"from {_ID}", base64.b64encode(own.encode()).decode(): "b64(from <id>)"}
    return [shortened(replaced.get(text, text)) for text in texts]


_ID = "00000000-0000-4000-8000-000000000001"


def blobs_of(account: Account, message_id: str) -> list[dict[str, Any]]:
    """Return the blobs of the probe's container in the recording's form, and delete them."""
    container = account.blob_container("probe")
    found = []
    for blob in list(container.list_blobs(include=["metadata"])) if container.exists() else []:
        path = f"probe/{blob.name}".replace(message_id, "<id>")
        path = re.sub(r"\d{8}-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ", "20260102-2026-01-02T03-04-05Z", path)
        path = re.sub(r"-\d{8}-", "-20260102-", path)
        path = _GUID.sub(_ID, path)
        found.append(
            {
                "path": shortened(path),
                "content": base64.b64encode(container.download_blob(blob.name).readall()).decode(),
                "type": blob.content_settings.content_type,
                "meta": {key: _GUID.sub("<guid>", value) for key, value in (blob.metadata or {}).items()},
                "kind": str(blob.blob_type),
            }
        )
        container.delete_blob(blob.name)
    return found


@pytest.mark.azurite
def test_a_function_on_a_poison_queue_is_tried_without_end(probe: Callable[[str], Probe]) -> None:
    """A message there comes back when its lease ends, whatever its count; nothing is hidden, moved or deleted."""
    running = probe("none")
    running.account.send("q-pp-poison", "x")
    eventually(running.log.read_text, what="the run")
    time.sleep(0.3)
    assert [note["dq"] for note in running.notes()] == [1]
    assert running.account.count("q-pp-poison") == 1
