"""Listens to the queue of one function: receive, run, delete; retry and poison what fails.

The rules are the Storage Queues extension's: a fixed lease of 10 minutes renewed at half time, ``maxDequeueCount``,
``<queue>-poison``, and a missing queue that is waited for and never created. A queue without a poison queue (it is one)
has no count either: what fails there comes back when its lease ends, again and again. Messages taken while the host
stops are not given back.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError
from azure.storage.queue import QueueMessage

from local.functions_host.config import QueueOptions
from local.functions_host.errors import FAILED, HostError
from local.functions_host.faults import LEASE_S
from local.functions_host.functions import Function
from local.functions_host.invocation import Invoker
from local.functions_host.message_values import trigger_value
from local.functions_host.polling import PollDelay, WakeUps
from local.functions_host.storage import Queue, decode_text

_LONGEST_QUEUE_NAME: Final = 63
_POISON: Final = "-poison"

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
            random.shuffle(messages)  # as the extension starts a batch: an app must not rely on its order
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
        try:
            return await self._queue.receive(self._options.batch_size, self._lease_s)
        except HttpResponseError as error:
            status = error.status_code or 0
            if status in {404, 409} or status >= 500:
                return []
            raise HostError(f"queue {self._queue.name}: storage answered {status} {error.reason}", FAILED) from error
        except (ServiceRequestError, ServiceResponseError) as error:
            _log.warning("queue %s: storage is not reachable: %s", self._queue.name, error)
            return []

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
        if count > self._options.max_dequeue_count and self._poison is not None:
            await self._to_poison(text, lease)
            return
        lease.start()
        ok = await invoke_with_message(self._invoker, self._function, body, message)
        lease.stop()
        if ok:
            await self._queue.delete(message.id, lease.pop_receipt)
        elif self._poison is None:
            _log.warning("queue %s has no poison queue; message %s comes back later", self._queue.name, message.id)
        elif count >= self._options.max_dequeue_count:
            await self._to_poison(text, lease)
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
    """Run a queue function once on a body; without a message it is an admin call."""
    try:
        given = trigger_value(function.trigger, body, message)
    except UnicodeDecodeError:
        return invoker.refuse(function, "the message is not UTF-8 text, and its trigger does not take bytes").ok
    return (await invoker.invoke(function, given.value, given.metadata, given.data)).ok


def poison_name(queue_name: str) -> str | None:
    """Return the name of a queue's poison queue, None when it is one itself or the name would get too long."""
    name = queue_name + _POISON
    return None if queue_name.endswith(_POISON) or len(name) > _LONGEST_QUEUE_NAME else name
