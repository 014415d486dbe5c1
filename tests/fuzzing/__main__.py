"""`make fuzz`: each target under atheris, a fuzzer that keeps the inputs that reach new places of the app's code.

What it keeps lies in `.local/fuzz/<target>/corpus` and is where the next run begins; an input that breaks a property is
left in `.local/fuzz/<target>/`, to be put among the `found` of its target.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

WORK: Final = Path(__file__).resolve().parents[2] / ".local" / "fuzz"
#: Bytes of an input at most; seconds of one at most.
LONGEST: Final = 4096
MOST_S: Final = 20


def fuzz(name: str, minutes: float) -> None:
    """Fuzz one target in this process, which libFuzzer ends."""
    import atheris  # noqa: PLC0415 only here, as it is installed for `make fuzz` alone

    with atheris.instrument_imports(include=["shared"]):
        from tests.fuzzing.targets import TARGETS  # noqa: PLC0415 its imports are to be instrumented

    folder = WORK / name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    target = TARGETS[name]
    for text in target.seeds + target.found:
        (corpus / sha256(text).hexdigest()[:16]).write_bytes(text)
    flags = [
        f"-max_total_time={round(minutes * 60)}", f"-max_len={LONGEST}", f"-timeout={MOST_S}", "-rss_limit_mb=1024",
        f"-artifact_prefix={folder}/", "-print_final_stats=1",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], str(corpus), *flags], target.holds)
    atheris.Fuzz()


def main(arguments: Sequence[str]) -> int:
    """Fuzz one target after the other, each in a process of its own, and print what came of it."""
    from tests.fuzzing.targets import TARGETS  # noqa: PLC0415 a fuzzing process reads it instrumented

    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="for each target")
    parser.add_argument("--target", choices=list(TARGETS), action="append", help="all without it")
    given = parser.parse_args(arguments)
    failed = 0
    for name in given.target or TARGETS:
        run = [sys.executable, "-m", "tests.fuzzing", "--one", name, str(given.minutes)]
        done = subprocess.run(run, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        said = done.stdout.decode(errors="replace")
        count = re.search(r"number_of_executed_units: (\d+)", said)
        new = re.findall(r"cov: (\d+)", said)
        print(f"{name}: {count[1] if count else 0} executions, {new[-1] if new else 0} places reached, "
              f"{'nothing found' if not done.returncode else 'FOUND'}", flush=True)  # fmt: skip
        if done.returncode:
            failed += 1
            print(said[-3000:], flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        fuzz(sys.argv[2], float(sys.argv[3]))
    sys.exit(main(sys.argv[1:]))
