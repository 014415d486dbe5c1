"""Benchmarks: the bundle through the real host path beside what people use today, on one machine in one run.

`python -m bench` measures, keeps the numbers in `.local/bench/` and writes `docs/performance.md` from them.
"""
