"""One module per measurement; each has `run(options) -> dict` and can be run again by itself."""
