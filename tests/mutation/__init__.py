"""How many small faults the tests of a module would notice: see `__main__`."""
