"""`python -m bench [--quick] [--only NAME ...]`: measure, keep the numbers, write `docs/performance.md`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from bench import profile, report, results
from bench.options import QUICK, Options
from bench.parts import (
    baseline,
    cost,
    delta,
    million,
    notifications,
    order_delays,
    orders,
    pull,
    resume,
    start,
    throttled,
    variants,
)

PARTS: dict[str, Callable[[Options], dict[str, Any]]] = {
    "start": start.run,
    "pull": pull.run,
    "variants": variants.run,
    "delta": delta.run,
    "throttled": throttled.run,
    "resume": resume.run,
    "orders": orders.run,
    "order-delays": order_delays.run,
    "notifications": notifications.run,
    "collection": notifications.collection,
    "baseline": baseline.run,
    "cost": cost.run,
    "profile": profile.run,
    "million": million.run,
}


#: Parts of a small run; the others take their time whatever the size.
SMALL = (
    "start", "pull", "variants", "delta", "throttled", "orders", "order-delays", "notifications", "collection",
    "million",
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run the parts asked for and return the exit code: 0 when all of them could be measured."""
    asked = _parser().parse_args(arguments)
    options = QUICK if asked.quick else Options()
    if asked.runs:
        options = dataclasses.replace(options, runs=asked.runs)
    wanted = asked.only or (SMALL if asked.quick else PARTS)
    failed = []
    for name in wanted if not asked.report else ():
        began = time.monotonic()
        print(f"bench: {name} ...", flush=True)
        try:
            numbers = PARTS[name](options)
            results.save(options, name, numbers, took_s=time.monotonic() - began)
        except Exception as error:  # noqa: BLE001  an hour's other measurements are not thrown away with this one
            failed.append(name)
            print(f"bench: {name} FAILED: {type(error).__name__} {error}", flush=True)
            if asked.trace:
                traceback.print_exc()
        else:
            print(f"bench: {name} took {time.monotonic() - began:.0f} s", flush=True)
    written, unread = report.write(options)
    if unread:
        print(f"bench: {', '.join(unread)}: numbers of another form than the report's; take them again")
    print(f"bench: {written}")
    return 1 if failed or unread else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, a few minutes; writes no documentation")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="this measurement only (repeatable)")
    parser.add_argument("--runs", type=int, help="how often each is repeated (default: 3)")
    parser.add_argument("--report", action="store_true", help="write the documentation from the numbers that are there")
    parser.add_argument("--trace", action="store_true", help="show where a failure came from")
    return parser


if __name__ == "__main__":
    sys.exit(main())
