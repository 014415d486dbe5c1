"""Command line: `python -m tests.simulation --seeds 1-1000`, `--replay 7 --verbose`, `--defects`."""

import argparse
import logging
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.simulation.campaign import Total, hunt_all, play_all
from tests.simulation.defects import DEFECTS
from tests.simulation.paper import with_block, with_cells
from tests.simulation.plan import KINDS, plan_of
from tests.simulation.run import Run

PAPER = Path(__file__).resolve().parents[2] / "docs" / "promises.md"
#: Seeds tried until a defect must have been caught.
_TRIES = 200


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="tests.simulation", description="Plays seeded lives of the app against Business Central and counts losses"
    )
    parser.add_argument("--seeds", default="600", help="how many runs, or a range of seeds: 600 (default), 501-1000")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one seed again and show its findings")
    parser.add_argument("--kind", choices=KINDS, help="runs of this kind only")
    parser.add_argument("--orders", type=int, help="orders per run instead of what the seed says")
    parser.add_argument("--hours", type=float, help="virtual hours of trouble instead of what the seed says")
    parser.add_argument("--jobs", type=int, help="processes; one per core by default")
    parser.add_argument("--defects", action="store_true", help="switch on one deliberate defect after the other")
    parser.add_argument("--only", default="", metavar="WORDS", help="with --defects: those whose name holds the words")
    parser.add_argument("--tries", type=int, default=_TRIES, help="with --defects: seeds for each of them")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/promises.md")
    parser.add_argument("--verbose", action="store_true", help="with --replay: every event of the run")
    return parser.parse_args(argv)


def seeds_of(text: str) -> range:
    """Return the seeds of `100` (1 to 100) or `501-1000`."""
    first, dash, last = text.partition("-")
    return range(int(first), int(last) + 1) if dash else range(1, int(first) + 1)


def campaign(arguments: argparse.Namespace) -> int:
    """Play many seeds; 1 when one of them lost or doubled something."""
    seeds = seeds_of(arguments.seeds)
    plans = [plan_of(seed, orders=arguments.orders, hours=arguments.hours, kind=arguments.kind) for seed in seeds]
    total, began = Total(), time.monotonic()
    for outcome in play_all(plans, jobs=arguments.jobs):
        total.add(outcome)
        if outcome.findings:
            print(f"seed {outcome.plan.seed} ({outcome.plan.kind}) failed: {outcome.findings[0]}", flush=True)
        elif total.runs % 100 == 0:
            print(f"{total.runs} of {len(plans)} runs, {time.monotonic() - began:.0f} s", flush=True)
    print(f"seeds      {seeds.start} to {seeds.stop - 1} in {time.monotonic() - began:.0f} s")
    for line in total.lines():
        print(line)
    if arguments.write:
        head = f"seeds      {seeds.start} to {seeds.stop - 1}"
        text = "\n".join(_wrapped([head, *total.lines()]))
        paper = with_cells(PAPER.read_text(encoding="utf-8"), total.figures())
        PAPER.write_text(with_block(paper, "simulation", f"```text\n{text}\n```"), encoding="utf-8")
    for outcome in total.failed:
        kind = f" --kind {arguments.kind}" if arguments.kind else ""
        print(f"replay it: python -m tests.simulation --replay {outcome.plan.seed}{kind} --verbose")
    return 1 if total.failed else 0


def _wrapped(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield from textwrap.wrap(line, 120, subsequent_indent=" " * 11, break_on_hyphens=False)


def replay(arguments: argparse.Namespace) -> int:
    """Play one seed again, with all that happened if that is asked for."""
    plan = plan_of(arguments.replay, orders=arguments.orders, hours=arguments.hours, kind=arguments.kind)
    run = Run(plan, verbose=arguments.verbose)
    outcome = run.play()
    for line in outcome.log:
        print(line)
    print(plan)
    total = Total()
    total.add(outcome)
    for line in (*total.lines(), *outcome.findings):
        print(line)
    return 1 if outcome.findings else 0


def defects(arguments: argparse.Namespace) -> int:
    """Switch on each defect; 1 when one of them is not caught."""
    chosen = [defect for defect in DEFECTS if arguments.only in defect.name]
    caught: list[int] = []
    for defect, seed, finding, took_s in hunt_all(chosen, tries=arguments.tries, jobs=arguments.jobs):
        if seed is None:
            print(f"MISSED  {defect:<42} {took_s:.1f} s", flush=True)
        else:
            caught.append(seed)
            print(f"caught  {defect:<42} {took_s:.1f} s, by seed {seed}: {finding}", flush=True)
    median = sorted(caught)[len(caught) // 2] if caught else 0
    said = f"{len(caught)} of {len(chosen)} defects caught, half of them within {median} seeds"
    print(said)
    if arguments.write:
        PAPER.write_text(with_block(PAPER.read_text(encoding="utf-8"), "defects", f"{said}."), encoding="utf-8")
    return 0 if len(caught) == len(chosen) else 1


def main(argv: list[str] | None = None) -> int:
    """Do what the command line asks."""
    arguments = parse_arguments(argv)
    if arguments.replay is None or not arguments.verbose:
        logging.disable(logging.CRITICAL)
    if arguments.defects:
        return defects(arguments)
    return campaign(arguments) if arguments.replay is None else replay(arguments)


if __name__ == "__main__":
    sys.exit(main())
