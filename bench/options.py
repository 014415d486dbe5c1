"""How large a run is: the full measurement, or the small one that proves in minutes that all of it works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".local" / "bench"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Sizes and repeats."""

    quick: bool = False
    runs: int = 3
    items: int = 100_000
    variants_per_item: int = 2
    latency_base_s: float = 0.15
    latency_row_us: float = 50.0
    slow_bytes_per_s: float = 2_000_000.0  # of one call, before compression: what Microsoft itself reports
    collection: int = 50_000
    baseline: int = 100_000
    orders: int = 1_000
    order_lines: int = 8
    order_write_s: float = 0.4
    order_samples: int = 50  # orders of the sequential loop, which would take seven minutes for all
    order_batch: int = 100  # orders in one $batch
    quick_write_s: float = 0.2  # of a Business Central that is quick at writing
    paced_orders: int = 100  # sent one by one, with and without a pull at work
    paced_per_s: int = 2
    notifications: int = 1_000
    stream_s: int = 60
    stream_per_s: int = 10
    handshakes: int = 300

    @property
    def results(self) -> Path:
        """Where the numbers of this size are kept."""
        return WORK / ("quick" if self.quick else "full")


QUICK = Options(
    quick=True, runs=1, items=5_000, collection=2_500, baseline=5_000, orders=40, order_samples=4, order_batch=8,
    paced_orders=12, order_write_s=0.2, notifications=200, stream_s=5, handshakes=50,
)  # fmt: skip
