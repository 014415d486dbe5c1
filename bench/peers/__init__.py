"""What the bundle is measured against. Each peer is a program of its own, run in the benchmark environment."""
