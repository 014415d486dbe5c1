"""How a state machine of Hypothesis is run: a sample in the suite, as many examples as `make machines` names, a hunt.

`MACHINE_EXAMPLES` (set by `python -m tests.support.machines`) makes the run deep, and then random.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

_EXAMPLES: Final = "MACHINE_EXAMPLES"
_MACHINES: Final = ("tests/usecases/orders/test_order_machine.py", "tests/usecases/webhooks/test_keeper_machine.py")
#: In the suite: as many as a few seconds allow.
_SAMPLE: Final = 25
_STEPS: Final = 25


def check(machine: type[RuleBasedStateMachine]) -> None:
    """Run a machine that must not fail."""
    deep = int(os.environ.get(_EXAMPLES, "0"))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=deep or _SAMPLE, stateful_step_count=_STEPS, derandomize=not deep, deadline=None
        ),
    )


def find(machine: type[RuleBasedStateMachine]) -> None:
    """Run a machine that is to fail; what it finds is not shortened."""
    found = settings(
        max_examples=400, stateful_step_count=_STEPS, derandomize=True, deadline=None, phases=(Phase.generate,),
        report_multiple_bugs=False,
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=found)


def main(arguments: Sequence[str]) -> int:
    """Run every machine with so many examples."""
    parser = argparse.ArgumentParser(prog="make machines", description=main.__doc__)
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--only", default="", help="words that the name of a test must hold")
    given = parser.parse_args(arguments)
    words = ["-k", given.only or "no_order_of_steps", "--timeout=0"]
    run = [sys.executable, "-m", "pytest", *_MACHINES, *words]
    return subprocess.run(run, env={**os.environ, _EXAMPLES: str(given.examples)}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
