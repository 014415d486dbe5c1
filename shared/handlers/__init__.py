"""One use case per module: what a trigger does, in terms of ports and core."""
