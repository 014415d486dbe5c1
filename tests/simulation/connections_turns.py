"""Threads that share a virtual clock: one runs at a time, and a sleep hands over to whoever is due next.

Owns the order of what happens; knows nothing of what is done. The same calls always come in the same order.
"""

import heapq
import itertools
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Self

from business_central_emulator import VirtualClock

#: How long a thread that waits for a lock, or for others to end, lets pass until it looks again.
_LOOK_S: Final = 0.05


class _Worker:
    """A thread that does one piece of work after the other, each when it is its turn."""

    def __init__(self, turns: "Turns") -> None:
        self.turn = threading.Semaphore(0)
        self.work: Callable[[], object] = lambda: None
        self._turns = turns
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while True:
            self.turn.acquire()
            try:
                self.work()
            except BaseException as error:  # noqa: BLE001 - raised where everything is run
                self._turns.broken = error
            self._turns.give_back(self)


class Turns:
    """The agenda: what is due when, and whose turn it is."""

    def __init__(self, clock: VirtualClock) -> None:
        """Begin at the clock's time."""
        self.clock = clock
        self.broken: BaseException | None = None
        self._agenda: list[tuple[datetime, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._main = threading.Semaphore(0)
        self._idle: list[_Worker] = []
        self._here = threading.local()

    def at(self, when: datetime, call: Callable[[], None]) -> None:
        """Call something short at a time; it must not sleep."""
        heapq.heappush(self._agenda, (max(when, self.clock.now()), next(self._numbers), call))

    def spawn(self, work: Callable[[], object]) -> None:
        """Begin work that may sleep, in a thread of its own, as soon as it is its turn."""

        def begin() -> None:
            worker = self._idle.pop() if self._idle else _Worker(self)
            worker.work = lambda: self._known(worker, work)
            self._hand_over(worker)

        self.at(self.clock.now(), begin)

    def _known(self, worker: _Worker, work: Callable[[], object]) -> None:
        self._here.worker = worker
        work()

    def _hand_over(self, worker: _Worker) -> None:
        worker.turn.release()
        self._main.acquire()

    def give_back(self, worker: _Worker) -> None:
        """Let others go on: the worker has nothing to do any more."""
        self._idle.append(worker)
        self._main.release()

    def sleep(self, seconds: float) -> None:
        """Let time pass for the thread that calls; outside of `run_until` the clock just moves."""
        worker: _Worker | None = getattr(self._here, "worker", None)
        if worker is None:
            self.clock.advance(seconds)
            return
        self.at(self.clock.now() + timedelta(seconds=seconds), lambda: self._hand_over(worker))
        self._main.release()
        worker.turn.acquire()

    def run_until(self, end: datetime) -> None:
        """Do all that is due until then. Raises what a piece of work has raised."""
        while self._agenda and self._agenda[0][0] <= end:
            when, _, call = heapq.heappop(self._agenda)
            self.clock.set(max(when, self.clock.now()))
            call()
            if self.broken is not None:
                raise self.broken
        self.clock.set(max(end, self.clock.now()))

    def side_by_side[T, R](self, work: Callable[[T], R], inputs: Sequence[T], threads: int) -> list[R]:
        """Do what `concurrency.at_once` does, in threads of this agenda."""
        del threads
        found: dict[int, R] = {}
        errors: list[Exception] = []

        def one(number: int, each: T) -> None:
            try:
                found[number] = work(each)
            except Exception as error:  # noqa: BLE001 - raised below
                errors.append(error)

        for number, each in enumerate(inputs):
            self.spawn(lambda number=number, each=each: one(number, each))  # type: ignore[misc]
        while len(found) + len(errors) < len(inputs):
            self.sleep(_LOOK_S)
        if errors:
            raise errors[0]
        return [found[number] for number in range(len(inputs))]

    def lock(self) -> "Lock":
        """Return a lock, which the same thread may take again; who waits for it lets the others go on."""
        return Lock(self)


class Lock:
    """A lock of an agenda."""

    def __init__(self, turns: Turns) -> None:
        """Be free."""
        self._turns = turns
        self._holder: threading.Thread | None = None
        self._depth = 0

    def __enter__(self) -> Self:
        """Wait until it is free, and take it."""
        me = threading.current_thread()
        while self._holder not in {None, me}:
            self._turns.sleep(_LOOK_S)
        self._holder, self._depth = me, self._depth + 1
        return self

    def __exit__(self, *_: object) -> None:
        """Free it."""
        self._depth -= 1
        if not self._depth:
            self._holder = None
