"""Writes what a campaign came to into `docs/promises.md`: a cell of the table for some promises, a block for the rest.

Pure: text in, text out. Whatever stands outside of its cells and blocks is nobody's business here.
"""

import re
from collections.abc import Mapping

#: Promises whose figure a campaign makes -> the figure, with the names of `figures`.
CELLS: Mapping[str, str] = {
    "P4": "{created} created records: {lost} lost or late; {notified} notifications dropped, doubled or late",
    "P5": "{events} events: {doubled} changes under two ids; {repeated} events came again under the same id",
    "P7": "{subscriptions} webhooks deleted silently, {copies} environments copied",
    "P8": "{orders} orders in {messages} messages: {doubled} doubled; {crashes} crashes",
    "P9": "{results}; {outages} runs with an outage of 72 h",
    "P12": "{late_commits} late commits, {lags} reads of a lagging replica; {excused} versions that only a delta could "
    "have told of were hidden by lag and told by no notification",
    "P13": "{broken} spells with a record that BC cannot serve",
    "P17": "{adopted} adopted: {results}, each judged by a mark in the document",
    "P18": "{phantoms} phantoms; {rollbacks} orders rolled back after their answer was lost",
    "P24": "{delays}",
    "P28": "four virtual days without timers: webhooks alive, pulls done; {stops} simulated runs whose timers stopped",
}


def with_cells(paper: str, figures: Mapping[str, str]) -> str:
    """Return the paper with the last cell of each of these promises' rows made of the figures."""
    for promise, text in CELLS.items():
        row = re.compile(rf"^(\| {promise} \|.*\|)[^|]*\|$", re.MULTILINE)
        figure = text.format_map(figures)
        paper = row.sub(lambda found, figure=figure: f"{found[1]} {figure} |", paper)  # type: ignore[misc]
    return paper


def with_block(paper: str, name: str, text: str) -> str:
    """Return the paper with the block between `<!-- name -->` and `<!-- end of name -->` replaced.

    Raises:
        ValueError: the paper has no such block.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    if begin not in paper or end not in paper:
        raise ValueError(f"no block {name}")
    head, rest = paper.split(begin, 1)
    return head + begin + text.rstrip("\n") + "\n" + end + rest.split(end, 1)[1]
