"""Test-only seams: ways to make the host fail at a chosen moment. Leave these variables unset in normal use.

``LOCAL_HOST_KILL_AT=<function>:<point>[:<N>]`` ends the process with ``os._exit(137)``, as a crash or a scale-in would,
the N-th time (first by default) an invocation of that function reaches the point:

- ``before-call``: the trigger was received, the function was not called;
- ``after-call``: the function returned, nothing is written yet;
- ``between-outputs``: one write is done and another is to come. A write is one queue message or one blob, so an output
  of three messages passes this point twice;
- ``after-outputs``: all is written, the trigger message is not deleted (or the HTTP answer not sent);
- ``worker-before-call``, ``worker-after-call``: the same moments in the worker process, which ends alone, with every
  call in it, and is replaced by the host. From outside, kill the process that the line "worker process <id>" names.

``LOCAL_HOST_OUTPUT_ORDER`` is ``together`` unless a kill point is set: the output bindings of an invocation are written
side by side, as the script host does (``Task.WhenAll`` in ``WorkerFunctionInvoker.BindOutputsAsync``), so an app must
not rely on their order. ``declared`` writes one binding after the other, so that a kill point is the same place twice;
``reverse`` does so from the last one on.

The signal SIGUSR1 plays a scale-in: no new message is taken, and after 1 to 3 s the worker ends with code 143 and the
calls in it are aborted, as Azure does it; then the host ends.

``LOCAL_HOST_LEASE_S=<seconds>`` shortens the 10-minute lease of queue messages, so that a test of a killed host sees
the message come back without waiting that long.

``LOCAL_HOST_TELL_STARTS=1`` prints ``<function> <invocation id> started`` when a call begins, beside the line at its
end, so that a kill from outside can meet a call, and can be told which calls it met.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from local.functions_host.calls import DIES_AFTER, DIES_BEFORE
from local.functions_host.errors import HostError

KILL_EXIT_CODE: Final = 137  # what a SIGKILL looks like to a supervisor
LEASE_S: Final = 600  # fixed in the Storage Queues extension
ORDERS: Final = ("together", "declared", "reverse")
POINTS: Final = ("before-call", "after-call", "between-outputs", "after-outputs", DIES_BEFORE, DIES_AFTER)


@dataclass
class Faults:
    """The faults asked for; none by default."""

    function: str | None = None
    point: str = ""
    left: int = 1  # how many times the point is still to be reached
    output_order: str = field(default="declared", kw_only=True)  # one of ORDERS
    lease_s: int = field(default=LEASE_S, kw_only=True)  # how long a received queue message stays hidden
    tells_starts: bool = field(default=False, kw_only=True)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Faults":
        """Read the variables.

        Raises:
            HostError: a variable is set to something else than its documented form.
        """
        text = env.get("LOCAL_HOST_KILL_AT") or ""
        order = env.get("LOCAL_HOST_OUTPUT_ORDER") or ("declared" if text else "together")
        if order not in ORDERS:
            raise HostError(f"LOCAL_HOST_OUTPUT_ORDER must be one of {', '.join(ORDERS)}, not {order!r}")
        lease = env.get("LOCAL_HOST_LEASE_S") or str(LEASE_S)
        if not lease.isdigit() or int(lease) < 1:
            raise HostError(f"LOCAL_HOST_LEASE_S must be a number of seconds, not {lease!r}")
        tells = env.get("LOCAL_HOST_TELL_STARTS") == "1"
        if not text:
            return cls(output_order=order, lease_s=int(lease), tells_starts=tells)
        function, point, count = (*text.split(":"), "1")[:3] if text.count(":") in {1, 2} else ("", "", "")
        if not function or point not in POINTS or not count.isdigit() or int(count) < 1:
            raise HostError(f"LOCAL_HOST_KILL_AT must be <function>:<{'|'.join(POINTS)}>[:<N>], not {text!r}")
        return cls(function, point, int(count), output_order=order, lease_s=int(lease), tells_starts=tells)

    def death_of_worker(self, function: str) -> Literal["", "worker-before-call", "worker-after-call"]:
        """Return where the worker is to end in the call of a function that begins now, if it is."""
        for point in (DIES_BEFORE, DIES_AFTER):
            if self._is_due(function, point):
                return point
        return ""

    def reach(self, function: str, point: str) -> None:
        """Tell that an invocation got to a point; does not return if it is the one to be killed at."""
        if self._is_due(function, point):
            print(f"killed at {function}:{point}", file=sys.stderr)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(KILL_EXIT_CODE)

    def _is_due(self, function: str, point: str) -> bool:
        if function != self.function or point != self.point:
            return False
        self.left -= 1
        return self.left == 0
