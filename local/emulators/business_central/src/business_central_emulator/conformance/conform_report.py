"""The report of a conformance run: a table that people read, and the same as JSON."""

import json

from business_central_emulator.conformance.conforming import Conformance, Result


def as_markdown(run: Conformance, title: str) -> str:
    """Return the differences, what was not asked and the answers to open questions as tables."""
    counts = {
        word: sum(one.outcome == word for one in run.results) for word in ("as claimed", "different", "not asked")
    }
    lines = [f"# {title}", "", ", ".join(f"{count} {word}" for word, count in counts.items()) + ".", ""]
    if run.differences:
        lines += _table(("claim", "says", "expected", "found", "source"), [
            (one.id, one.says, one.expected, one.found, one.source) for one in run.differences])  # fmt: skip
    missing = [one for one in run.results if not one.asked]
    if missing:
        lines += _table(("not asked", "because"), [(one.id, one.found) for one in missing])
    lines += _table(("question", "asks", "answer"), list(run.answers))
    lines += [f"Not deleted: {one}" for one in run.left]
    return "\n".join(lines).rstrip() + "\n"


def as_json(run: Conformance, title: str) -> str:
    """Return everything: each claim with its outcome, each question with its answer."""
    document = {
        "title": title,
        "claims": [_row(one) for one in run.results],
        "questions": [{"id": id_, "asks": asks, "answer": answer} for id_, asks, answer in run.answers],
        "left": list(run.left),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _row(one: Result) -> dict[str, str]:
    row = {"id": one.id, "says": one.says, "source": one.source, "expected": one.expected, "outcome": one.outcome}
    return row | ({"found": one.found} if one.found else {})


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [_line(heads), _line(("---",) * len(heads)), *(_line(row) for row in rows)]
    return [*lines, ""]


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
