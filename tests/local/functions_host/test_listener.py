"""The queue listener with a queue in memory: leases, poison, back-off, and what it does when storage fails."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from local.functions_host.config import QueueOptions
from local.functions_host.errors import HostError
from local.functions_host.functions import Function
from local.functions_host.invocation import Outcome
from local.functions_host.polling import PollDelay, WakeUps
from local.functions_host.queues import QueueListener, poison_name

BINDING = {"type": "queueTrigger", "name": "msg", "queueName": "jobs"}
FUNCTION = Function("f", "id", BINDING, (), None, disabled=False, bindings=(BINDING,))


def message(text: str = "aGk=", count: int = 1) -> SimpleNamespace:
    """A message as the SDK gives it; aGk= is "hi"."""
    times = dict.fromkeys(("inserted_on", "expires_on", "next_visible_on"))
    return SimpleNamespace(id="m1", pop_receipt="r0", content=text, dequeue_count=count, **times)


class Queue:
    """Hands out what the test put in, once, and notes what is done to it."""

    def __init__(self, name: str = "jobs", batches: list[Any] | None = None) -> None:
        self.name = self.key = name
        self.batches = batches or []
        self.asked: list[tuple[int, int]] = []
        self.done: list[tuple[Any, ...]] = []

    async def receive(self, count: int, visibility_s: int) -> list[Any]:
        self.asked.append((count, visibility_s))
        batch = self.batches.pop(0) if self.batches else []
        if isinstance(batch, Exception):
            raise batch
        return list(batch)

    async def put(self, text: str) -> None:
        self.done.append(("put", text))

    async def delete(self, message_id: str, pop_receipt: str) -> None:
        self.done.append(("delete", message_id, pop_receipt))

    async def hide(self, message_id: str, pop_receipt: str, visibility_s: int) -> str | None:
        self.done.append(("hide", message_id, pop_receipt, visibility_s))
        return f"r{len(self.done)}"


class Invoker:
    """Runs nothing but what the test wants to happen during a call."""

    def __init__(self, ok: bool = True, during: Callable[[], Awaitable[None]] | None = None) -> None:
        self.ok = ok
        self.during = during
        self.calls: list[tuple[Any, dict[str, Any]]] = []
        self.tasks: list[asyncio.Task[Any]] = []

    def start(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.append(task)
        return task

    def refuse(self, function: Function, reason: str) -> Outcome:
        return Outcome(ok=False, returned=None)

    async def invoke(self, function: Function, value: Any, metadata: dict[str, Any], data: Any) -> Outcome:
        self.calls.append((value.data, {name: (item.kind, item.data) for name, item in metadata.items()}))
        if self.during:
            await self.during()
        return Outcome(self.ok, None)


def listen(
    queue: Queue,
    invoker: Invoker,
    poison: Queue | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    **options: Any,
) -> None:
    """Let a listener work off the queue's batches, then cancel it and wait for its messages."""

    async def main() -> None:
        settings = QueueOptions(**{"max_polling_interval_s": 0.001, **options})
        listener = QueueListener(FUNCTION, queue, poison, settings, invoker, WakeUps(), sleep=sleep)  # type: ignore[arg-type]  # fakes
        task = asyncio.create_task(listener.run())
        empty_polls = len(queue.batches) + 2
        try:
            async with asyncio.timeout(5):
                while len(queue.asked) < empty_polls and not task.done():  # noqa: ASYNC110 - one turn at a time
                    await asyncio.sleep(0)
                await asyncio.gather(*invoker.tasks)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled() and task.exception():
            raise task.exception() or AssertionError

    asyncio.run(main())


def test_success_deletes_the_message() -> None:
    """A message is taken with the batch size and a 10-minute lease, run, and deleted."""
    queue, invoker = Queue(batches=[[message()]]), Invoker()
    listen(queue, invoker, batch_size=7)
    assert queue.asked[0] == (7, 600)
    assert queue.done == [("delete", "m1", "r0")]
    body, metadata = invoker.calls[0]
    assert body == "hi"
    assert metadata["QueueTrigger"] == ("string", "hi")
    assert metadata["DequeueCount"] == ("json", "1")
    assert metadata["Id"] == ("string", "m1")
    assert metadata["ExpirationTime"][0] == "json"


def test_lease_is_renewed_and_the_new_receipt_used() -> None:
    """During a long run the lease is renewed every 5 minutes, and the newest pop receipt deletes the message."""
    waits: list[float] = []
    renewed = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) > 2:
            renewed.set()
            await asyncio.Event().wait()

    queue = Queue(batches=[[message()]])
    listen(queue, Invoker(during=lambda: _wait(renewed)), sleep=sleep)
    assert waits == [300, 300, 300]
    assert queue.done == [("hide", "m1", "r0", 600), ("hide", "m1", "r1", 600), ("delete", "m1", "r2")]


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def test_failure_makes_the_message_visible_again() -> None:
    """Below the maximum a failed message comes back after visibilityTimeout."""
    queue = Queue(batches=[[message(count=4)]])
    listen(queue, Invoker(ok=False), Queue("jobs-poison"), visibility_timeout_s=30)
    assert queue.done == [("hide", "m1", "r0", 30)]


def test_last_failure_poisons() -> None:
    """At the maximum the text is copied to the poison queue before the message is deleted."""
    queue, poison = Queue(batches=[[message(count=5)]]), Queue("jobs-poison")
    listen(queue, Invoker(ok=False), poison)
    assert (poison.done, queue.done) == ([("put", "aGk=")], [("delete", "m1", "r0")])


def test_over_the_maximum_is_poisoned_without_a_call() -> None:
    """A message that came too often (its runs died) is not run again."""
    queue, poison, invoker = Queue(batches=[[message(count=6)]]), Queue("jobs-poison"), Invoker()
    listen(queue, invoker, poison)
    assert (poison.done, invoker.calls) == ([("put", "aGk=")], [])


def test_damaged_base64_is_poisoned_raw() -> None:
    """A text that is not base64 is copied as it is, without a call."""
    queue, poison, invoker = Queue(batches=[[message("{plain}")]]), Queue("jobs-poison"), Invoker()
    listen(queue, invoker, poison)
    assert (poison.done, invoker.calls) == ([("put", "{plain}")], [])


def test_poison_queue_has_no_poison_queue() -> None:
    """There a failure leaves the message hidden until its lease ends, and no count ends that."""
    assert poison_name("jobs") == "jobs-poison"
    assert poison_name("jobs-poison") is None
    assert poison_name("j" * 57) is None
    queue, invoker = Queue("jobs-poison", [[message(count=1)], [message(count=7)]]), Invoker(ok=False)
    listen(queue, invoker, None)
    assert (queue.done, len(invoker.calls)) == ([], 2)


def test_bytes_that_are_no_text_fail_the_run_of_a_function_that_takes_text() -> None:
    """The function is not called; the message is tried again, then poisoned, byte for byte."""
    queue, poison, invoker = (
        Queue(batches=[[message("/w==", 4)], [message("/w==", 5)]]),
        Queue("jobs-poison"),
        Invoker(),
    )
    listen(queue, invoker, poison)
    assert queue.done == [("hide", "m1", "r0", 0), ("delete", "m1", "r0")]
    assert (poison.done, invoker.calls) == ([("put", "/w==")], [])


def fault(status: int) -> HttpResponseError:
    error = HttpResponseError("fault")
    error.status_code = status
    return error


def test_missing_queue_and_bad_moments_are_waited_out() -> None:
    """404, 409 and 5xx back off like an empty queue."""
    queue = Queue(batches=[fault(404), fault(409), fault(503), [message()]])
    listen(queue, Invoker())
    assert queue.done == [("delete", "m1", "r0")]


def test_refusal_ends_the_listener() -> None:
    """Any other answer of storage, 403 say, stops the host with a line."""
    with pytest.raises(HostError, match="queue jobs: storage answered 403"):
        listen(Queue(batches=[fault(403)]), Invoker())


def test_messages_in_parallel_are_bounded() -> None:
    """No more than a batch plus the threshold run at once."""
    running = most = 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(20):
            await asyncio.sleep(0)
        running -= 1

    batches = [[message() for _ in range(4)] for _ in range(5)]
    invoker = Invoker(during=work)
    listen(Queue(batches=list(batches)), invoker, batch_size=4, new_batch_threshold=2)
    assert len(invoker.calls) == 20
    assert most <= 6


def test_messages_that_arrive_during_a_stop_are_not_given_back() -> None:
    """What a poll brings while the host stops is neither run nor given back: it stays hidden until its lease ends."""
    queue, invoker = Queue(), Invoker()
    arrived = asyncio.Event()

    async def receive(count: int, visibility_s: int) -> list[Any]:
        await arrived.wait()
        return [message()]

    queue.receive = receive  # type: ignore[method-assign]  # of this fake only

    async def main() -> None:
        listener = QueueListener(FUNCTION, queue, None, QueueOptions(), invoker, WakeUps())  # type: ignore[arg-type]  # fakes
        task = asyncio.create_task(listener.run())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        arrived.set()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert (queue.done, invoker.calls) == ([], [])


def test_poll_delays() -> None:
    """Delays start at 100 ms, double with some chance, stay under the cap, and start over after a message."""
    low, high = PollDelay(2.0, lambda a, b: a), PollDelay(2.0, lambda a, b: b)
    assert [round(low.next_s(), 3) for _ in range(7)] == [0.1, 0.18, 0.26, 0.42, 0.74, 1.38, 2.0]
    assert [round(high.next_s(), 3) for _ in range(6)] == [0.1, 0.22, 0.34, 0.58, 1.06, 2.0]
    high.reset()
    assert high.next_s() == 0.1


def test_local_enqueue_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that would wait for a minute asks again at once when this process put a message in."""
    monkeypatch.setattr(PollDelay, "first_s", 60.0)
    queue, wake_ups = Queue(), WakeUps()
    asked_again = asyncio.Event()

    async def receive(count: int, visibility_s: int) -> list[Any]:
        queue.asked.append((count, visibility_s))
        if len(queue.asked) == 2:
            asked_again.set()
        return []

    queue.receive = receive  # type: ignore[method-assign]  # of this fake only

    async def main() -> None:
        options = QueueOptions(max_polling_interval_s=60.0)
        listener = QueueListener(FUNCTION, queue, None, options, Invoker(), wake_ups)  # type: ignore[arg-type]  # fakes
        task = asyncio.create_task(listener.run())
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(queue.asked) == 1
        wake_ups.wake("jobs")
        async with asyncio.timeout(5):
            await asked_again.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_wake_ups_reach_every_listener_of_a_queue() -> None:
    """An enqueue wakes all listeners of that queue and no other."""
    wake_ups = WakeUps()
    one, two, other = wake_ups.event("a"), wake_ups.event("a"), wake_ups.event("b")
    wake_ups.wake("a")
    wake_ups.wake("nobody")
    assert (one.is_set(), two.is_set(), other.is_set()) == (True, True, False)
