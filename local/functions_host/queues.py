"""Listens to the queue of one function: receive, run, delete; retry and poison what fails.

The rules are the Storage Queues extension's: a fixed lease of 10 minutes renewed at half time, ``maxDequeueCount``,
``<queue>-poison``, and a missing queue that is waited for and never created.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError
from azure.storage.queue import QueueMessage

from local.functions_host.config import QueueOptions
from local.functions_host.errors import FAILED, HostError
from local.functions_host.expressions import BindingData
from local.functions_host.faults import LEASE_S
from local.functions_host.functions import Function
from local.functions_host.invocation import Invoker
from local.functions_host.polling import PollDelay, WakeUps
from local.functions_host.storage import Queue, decode_text, encode_text
from local.functions_host.wire import Datum, bytes_datum, json_datum, text_datum

_LONGEST_QUEUE_NAME: Final = 63
_POISON: Final = "-poison"
_FAR_FUTURE: Final = "9999-12-31T23:59:59.9999999+00:00"

_log = logging.getLogger("local.functions_host")


class QueueListener:
    """The listener of one queue function."""

    def __init__(
        self,
        function: Function,
        queue: Queue,
        poison: Queue | None,
        options: QueueOptions,
        invoker: Invoker,
        wake_ups: WakeUps,
        *,
        lease_s: int = LEASE_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._lease_s = lease_s
        self._function = function
        self._queue = queue
        self._poison = poison
        self._options = options
        self._invoker = invoker
        self._wake_ups = wake_ups
        self._sleep = sleep
        self._woken = wake_ups.event(queue.key)
        self._running = 0
        self._one_ended = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled; messages that are running then go on.

        Raises:
            HostError: storage answered with an error that waiting does not cure.
        """
        delay = PollDelay(self._options.max_polling_interval_s)
        while True:
            self._woken.clear()
            messages = await self._receive()
            for message in messages:
                self._running += 1
                self._invoker.start(self._handle(message))
            if messages:
                delay.reset()
                await self._wait_for_room()
            else:
                try:
                    await asyncio.wait_for(self._woken.wait(), delay.next_s())
                except TimeoutError:
                    continue

    async def _wait_for_room(self) -> None:
        while self._running > self._options.new_batch_threshold:
            self._one_ended.clear()
            await self._one_ended.wait()

    async def _receive(self) -> list[QueueMessage]:
        """Return the next messages; none when the queue is empty, missing or storage has a bad moment."""
        # A cancelled request may have taken messages already, which would then hide for 10 minutes.
        request = asyncio.ensure_future(self._queue.receive(self._options.batch_size, self._lease_s))
        try:
            return await asyncio.shield(request)
        except asyncio.CancelledError:
            await self._give_back(request)
            raise
        except HttpResponseError as error:
            status = error.status_code or 0
            if status in {404, 409} or status >= 500:
                return []
            raise HostError(f"queue {self._queue.name}: storage answered {status} {error.reason}", FAILED) from error
        except (ServiceRequestError, ServiceResponseError) as error:
            _log.warning("queue %s: storage is not reachable: %s", self._queue.name, error)
            return []

    async def _give_back(self, request: "asyncio.Future[list[QueueMessage]]") -> None:
        """Make messages visible again that arrived while the host was stopping."""
        try:
            for message in await request:
                await self._queue.hide(message.id, str(message.pop_receipt), 0)
        except (HttpResponseError, ServiceRequestError, ServiceResponseError) as error:
            _log.warning("queue %s: messages not given back: %s", self._queue.name, error)

    async def _handle(self, message: QueueMessage) -> None:
        lease = _Lease(self._queue, message, self._lease_s, self._sleep)
        try:
            await self._run_message(message, lease)
        except Exception:  # noqa: BLE001 - whatever happens to one message
            # The message comes back when its lease ends; the listener must live on.
            _log.exception("queue %s: message %s was not settled", self._queue.name, message.id)
        finally:
            lease.stop()
            self._running -= 1
            self._one_ended.set()

    async def _run_message(self, message: QueueMessage, lease: "_Lease") -> None:
        text = str(message.content)
        try:
            body = decode_text(text, self._options.message_encoding)
        except ValueError:
            _log.error("queue %s: message %s is not base64", self._queue.name, message.id)
            await self._to_poison(text, lease)
            return
        count = int(message.dequeue_count or 0)
        if count > self._options.max_dequeue_count:
            await self._to_poison(text, lease)
            return
        lease.start()
        ok = await invoke_with_message(self._invoker, self._function, body, message)
        lease.stop()
        if ok:
            await self._queue.delete(message.id, lease.pop_receipt)
        elif count >= self._options.max_dequeue_count:
            await self._to_poison(encode_text(body, self._options.message_encoding), lease)
        else:
            await self._queue.hide(message.id, lease.pop_receipt, round(self._options.visibility_timeout_s))
            self._woken.set()

    async def _to_poison(self, text: str, lease: "_Lease") -> None:
        """Copy the message to the poison queue and delete it; without one it stays hidden until its lease ends."""
        if self._poison is None:
            _log.warning("queue %s has no poison queue; message %s stays", self._queue.name, lease.message_id)
            return
        await self._poison.put(text)
        self._wake_ups.wake(self._poison.key)
        await self._queue.delete(lease.message_id, lease.pop_receipt)
        _log.warning("queue %s: message %s moved to %s", self._queue.name, lease.message_id, self._poison.name)


class _Lease:
    """Keeps a running message hidden and remembers its newest pop receipt."""

    def __init__(
        self, queue: Queue, message: QueueMessage, lease_s: int, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._queue = queue
        self._lease_s = lease_s
        self._sleep = sleep
        self.message_id = message.id
        self.pop_receipt = str(message.pop_receipt)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._renew())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _renew(self) -> None:
        while True:
            await self._sleep(self._lease_s / 2)
            try:
                receipt = await self._queue.hide(self.message_id, self.pop_receipt, self._lease_s)
            except (HttpResponseError, ServiceRequestError, ServiceResponseError) as error:
                _log.warning("queue %s: lease of %s not renewed: %s", self._queue.name, self.message_id, error)
                continue
            if receipt is None:
                _log.warning("queue %s: lease of %s was lost", self._queue.name, self.message_id)
                return
            self.pop_receipt = receipt


async def invoke_with_message(invoker: Invoker, function: Function, body: bytes, message: QueueMessage | None) -> bool:
    """Run a queue function once on a body; without a message (admin call) it has no id and a dequeue count of 0."""
    try:
        text = body.decode()
        value = text_datum(text)
    except UnicodeDecodeError:
        text, value = "", bytes_datum(body)
    data = BindingData({"QueueTrigger": text})
    if message is None:
        data.update([("DequeueCount", 0), ("InsertionTime", _wire_time(datetime.now(UTC)))])
        data.update([("ExpirationTime", _FAR_FUTURE), ("NextVisibleTime", _FAR_FUTURE)])
    else:
        data.update([("Id", message.id), ("PopReceipt", str(message.pop_receipt))])
        data.update([("DequeueCount", int(message.dequeue_count or 0))])
        data.update([("InsertionTime", _wire_time(message.inserted_on))])
        data.update([("ExpirationTime", _wire_time(message.expires_on))])
        data.update([("NextVisibleTime", _wire_time(message.next_visible_on))])
    own_times = {"InsertionTime", "ExpirationTime", "NextVisibleTime"}
    own = dict(data.items())
    data.add_json_body(text)
    metadata: dict[str, Datum] = {}
    for name, item in data.items():
        # The script host sends text as it is and everything else, dates and numbers included, as JSON.
        is_plain_text = isinstance(item, str) and not (name in own_times and item == own[name])
        metadata[name] = text_datum(str(item)) if is_plain_text else json_datum(item)
    return (await invoker.invoke(function, value, metadata, data)).ok


def _wire_time(moment: datetime | None) -> str:
    return _FAR_FUTURE if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def poison_name(queue_name: str) -> str | None:
    """Return the name of a queue's poison queue, None when it is one itself or the name would get too long."""
    name = queue_name + _POISON
    return None if queue_name.endswith(_POISON) or len(name) > _LONGEST_QUEUE_NAME else name
